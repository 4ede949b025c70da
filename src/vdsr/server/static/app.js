// The page: pictures come in, are sent, are followed, and can be compared and downloaded.
import { call, events, patiently, setToken } from "./api.js";
import { setLanguage, text } from "./text.js";
import * as viewer from "./viewer.js";

const at = (id) => document.getElementById(id);
const entries = new Map();
let number = 0;
let limits = null;
// Uploads at once.
const LANES = 2;
const queue = [];
let sending = 0;

function say(words, bad = false) {
  at("said").textContent = words;
  at("said").classList.toggle("bad", bad);
}

function element(name, properties = {}, ...children) {
  const made = Object.assign(document.createElement(name), properties);
  made.append(...children);
  return made;
}

function add(files) {
  for (const file of files) {
    const entry = { key: ++number, file, job: null, state: "sending", error: null, item: element("li"), stop: new AbortController() };
    entries.set(entry.key, entry);
    entry.query = new URLSearchParams({ name: file.name || "picture" });
    const scale = at("scale").value;
    if (scale === "restore") entry.query.set("restore", "true");
    else entry.query.set("scale", scale);
    if (at("model").value) entry.query.set("model", at("model").value);
    if (at("format").value) entry.query.set("format", at("format").value);
    at("list").append(entry.item);
    draw(entry);
    queue.push(entry);
  }
  at("list-section").hidden = entries.size === 0;
  next();
}

async function next() {
  while (sending < LANES && queue.length) {
    const entry = queue.shift();
    if (!entries.has(entry.key)) continue;
    sending += 1;
    send(entry).finally(() => { sending -= 1; next(); });
  }
}

async function send(entry) {
  try {
    const options = { method: "POST", body: entry.file, headers: { Prefer: "respond-async", "Content-Type": "application/octet-stream" }, signal: entry.stop.signal };
    entry.job = await (await patiently(`/upscale?${entry.query}`, options)).json();
    entry.file = null;
    follow(entry);
  } catch (error) {
    if (error.name !== "AbortError") fail(entry, error);
  }
}

function fail(entry, error) {
  if (error.status === 401) ask();
  entry.state = "failed";
  entry.error = error.message;
  draw(entry);
  say(text("is_failed", { name: entry.job?.name ?? entry.file.name, why: error.message }), true);
}

async function follow(entry) {
  try {
    while (entries.has(entry.key) && !["done", "failed"].includes(entry.state)) {
      for await (const job of events(entry.job.id)) {
        entry.job = job;
        entry.state = job.state;
        entry.error = job.error;
        if (!entries.has(entry.key)) return;
        draw(entry);
      }
    }
  } catch (error) {
    if (entries.has(entry.key)) fail(entry, error);
    return;
  }
  if (!entries.has(entry.key)) return;
  if (entry.state === "done") {
    say(text("is_done", { name: entry.job.name }));
    if (at("viewer").hidden) viewer.show(entry.job, false);
  } else say(text("is_failed", { name: entry.job.name, why: entry.error }), true);
}

function draw(entry) {
  const { item, job, state } = entry, name = job?.name ?? entry.file?.name ?? "";
  const focused = item.contains(document.activeElement) ? document.activeElement.dataset.do : null;
  const described = (made) => { made.setAttribute("aria-label", `${made.textContent}: ${name}`); return made; };
  const button = (what, action) => {
    const made = described(element("button", { type: "button", textContent: text(what), onclick: action }));
    made.dataset.do = what;
    return made;
  };
  const buttons = element("div", { className: "do" });
  if (state === "done") {
    buttons.append(button("show", () => viewer.show(entry.job)), button("download", () => download(entry)));
    buttons.lastChild.classList.add("main");
  }
  buttons.append(button("remove", () => remove(entry)));
  let said = text(state, { why: entry.error });
  if (job) said += ` · ${job.width}×${job.height} → ${job.result_width}×${job.result_height} · ${job.format}`;
  const parts = [
    element("span", { className: "name", textContent: name }),
    element("span", { className: `state${state === "failed" ? " bad" : ""}`, textContent: said }),
    buttons,
  ];
  if (["sending", "waiting", "working"].includes(state)) {
    const bar = element("progress", { max: 1 });
    if (state === "working") bar.value = job.progress;
    bar.setAttribute("aria-label", name);
    parts.push(bar);
  }
  item.replaceChildren(...parts);
  if (focused) (item.querySelector(`[data-do="${focused}"]`) ?? item.querySelector("button")).focus();
  at("all").hidden = [...entries.values()].filter((one) => one.state === "done").length < 2;
}

async function download(entry) {
  try {
    const response = await patiently(`/jobs/${entry.job.id}/result`, {});
    const address = URL.createObjectURL(await response.blob());
    const link = element("a", { href: address, download: entry.job.result_name });
    document.body.append(link);
    link.click();
    link.remove();
    setTimeout(() => URL.revokeObjectURL(address), 60000);
  } catch (error) {
    say(text("is_failed", { name: entry.job.name, why: error.message }), true);
  }
}

async function downloadAll() {
  for (const entry of [...entries.values()]) {
    if (entry.state !== "done") continue;
    await download(entry);
    await new Promise((done) => setTimeout(done, 300));
  }
}

function remove(entry) {
  entry.stop.abort();
  entries.delete(entry.key);
  entry.item.remove();
  at("list-section").hidden = entries.size === 0;
  at("files").focus();
  if (!entry.job) return;
  viewer.hide(entry.job.id);
  call(`/jobs/${entry.job.id}`, { method: "DELETE" }).catch(() => {});
}

function ask() {
  at("token-form").hidden = false;
  at("token").focus();
}

async function load() {
  try {
    limits = await (await call("/models")).json();
  } catch (error) {
    if (error.status === 401) ask();
    say(error.message, true);
    return;
  }
  at("token-form").hidden = true;
  at("model").replaceChildren(...(limits.models.length > 1 ? [new Option(limits.models.map((one) => one.name).join(" / "), "")] : limits.models.map((one) => new Option(`${one.name} ${one.version}`, one.name))));
  at("format").replaceChildren(at("format").options[0], ...limits.formats.map((name) => new Option(name, name)));
  const state = await (await call("/healthz")).json();
  at("version").textContent = `vdsr ${state.version}`;
  tellLimits();
}

function tellLimits() {
  if (limits) at("limits").textContent = text("limits", { mib: Math.floor(limits.max_body / 1048576), mpx: Math.floor(limits.max_pixels / 1e6) });
}

function speak(language) {
  at("language").value = setLanguage(language);
  tellLimits();
  for (const entry of entries.values()) draw(entry);
  viewer.again();
}

at("files").addEventListener("change", (event) => { add(event.target.files); event.target.value = ""; });
at("all").addEventListener("click", downloadAll);
at("language").addEventListener("change", (event) => { localStorage.setItem("language", event.target.value); speak(event.target.value); });
at("token-form").addEventListener("submit", async (event) => { event.preventDefault(); setToken(at("token").value); say(""); await load(); });
for (const name of ["dragover", "dragenter"]) addEventListener(name, (event) => { event.preventDefault(); at("drop").classList.add("over"); });
for (const name of ["dragleave", "drop"]) addEventListener(name, () => at("drop").classList.remove("over"));
addEventListener("drop", (event) => { event.preventDefault(); add(event.dataTransfer.files); });
addEventListener("paste", (event) => { if (event.clipboardData.files.length) add(event.clipboardData.files); });
viewer.start();
speak(localStorage.getItem("language") ?? (navigator.language.startsWith("zh") ? "zh" : "en"));
load();
