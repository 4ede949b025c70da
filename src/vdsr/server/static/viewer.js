// One result beside bicubic interpolation alone: slider, zoom, pan, what was added, figures.
import { call, patiently } from "./api.js";
import { text } from "./text.js";

const WINDOW = 1600;
const at = (id) => document.getElementById(id);
let job = null;
let middle = null;
// Addresses of the images on the stage.
let shown = [];
let latest = 0;

function zoom() {
  return document.querySelector('#zoom input:checked').value;
}

// The part of the result that is shown, in px of it; null is all of it.
function box() {
  if (zoom() === "fit") return null;
  const factor = Number(zoom());
  const wide = Math.max(64, Math.min(WINDOW, Math.floor(at("stage").clientWidth / factor)));
  const high = Math.max(64, Math.min(WINDOW, Math.floor((innerHeight * 0.75) / factor)));
  const width = Math.min(wide, job.result_width), height = Math.min(high, job.result_height);
  const clamp = (value, most) => Math.max(0, Math.min(Math.round(value), most));
  const left = clamp(middle.x - width / 2, job.result_width - width);
  const top = clamp(middle.y - height / 2, job.result_height - height);
  middle = { x: left + width / 2, y: top + height / 2 };
  return { left, top, width, height };
}

// Adds the address of an image to those of one drawing.
async function picture(kind, part, addresses) {
  const query = new URLSearchParams({ kind, ...(part ?? {}) });
  const response = await patiently(`/jobs/${job.id}/view?${query}`, {});
  const address = URL.createObjectURL(await response.blob());
  addresses.push(address);
  return address;
}

function free(addresses) {
  for (const address of addresses) URL.revokeObjectURL(address);
}

async function draw() {
  const mine = ++latest, part = box(), stage = at("stage"), addresses = [];
  stage.setAttribute("aria-busy", "true");
  const inside = part !== null;
  for (const button of at("pan").children) button.disabled = !inside;
  try {
    const width = part?.width ?? job.result_width, height = part?.height ?? job.result_height;
    const wide = part ? width * Number(zoom()) : Math.min(width, at("stage").clientWidth);
    let content;
    if (at("residual").checked) {
      content = new Image();
      content.className = "flat";
      content.alt = text("residual_view");
      const residual = await picture("residual", part, addresses);
      if (mine !== latest) return free(addresses);
      content.src = residual;
      await content.decode();
    } else {
      const [before, after] = await Promise.all([picture("before", part, addresses), picture("after", part, addresses)]);
      if (mine !== latest) return free(addresses);
      content = document.importNode(at("slider").content.querySelector(".slider"), true);
      content.querySelector(".before").src = before;
      content.querySelector(".after").src = after;
      for (const image of content.querySelectorAll("img")) { image.width = width; image.height = height; }
      const kept = stage.querySelector(".slider input");
      if (kept) {
        content.querySelector("input").value = kept.value;
        content.style.setProperty("--at", `${kept.value}%`);
      }
      await Promise.all([...content.querySelectorAll("img")].map((image) => image.decode()));
    }
    if (mine !== latest) return free(addresses);
    content.style.width = `${wide}px`;
    if (!part) content.style.maxWidth = "100%";
    const focused = stage.contains(document.activeElement);
    stage.replaceChildren(content);
    stage.classList.toggle("pixels", zoom() === "4");
    if (focused) stage.querySelector("input")?.focus();
    stage.removeAttribute("aria-busy");
    free(shown);
    shown = addresses;
  } catch (error) {
    free(addresses);
    if (mine !== latest) return;
    const said = document.createElement("p");
    said.textContent = error.status === 400 ? text("large") : error.message;
    stage.replaceChildren(said);
    stage.removeAttribute("aria-busy");
  }
}

function line(name, value) {
  const dt = document.createElement("dt"), dd = document.createElement("dd");
  dt.textContent = name;
  dd.textContent = value;
  at("figures").append(dt, dd);
  return dd;
}

async function tell() {
  at("figures").replaceChildren();
  line(text("size"), text("from_to", { a: `${job.width}×${job.height}`, b: `${job.result_width}×${job.result_height}` }));
  if (job.seconds != null) line(text("took"), text("seconds", { n: job.seconds.toFixed(1) }));
  const agreement = line(text("consistency"), "…"), mine = job.id;
  if (job.notices.length) line(text("notices"), job.notices.join("; "));
  try {
    const { psnr, largest } = await (await call(`/jobs/${job.id}/figures`)).json();
    if (mine === job?.id) agreement.textContent = psnr === null ? text("equal") : text("agrees", { psnr: psnr.toFixed(2), largest: largest.toFixed(1) });
  } catch (error) {
    agreement.textContent = error.message;
  }
}

export async function show(chosen, focus = true) {
  job = chosen;
  middle = { x: job.result_width / 2, y: job.result_height / 2 };
  at("viewer").hidden = false;
  at("view-heading").textContent = text("view", { name: job.name });
  at("stage").replaceChildren();
  if (focus) at("view-heading").focus();
  await Promise.all([draw(), tell()]);
}

export function again() {
  if (job) { at("view-heading").textContent = text("view", { name: job.name }); tell(); }
}

export function hide(id) {
  if (job?.id !== id) return;
  job = null;
  at("viewer").hidden = true;
}

export function start() {
  at("zoom").addEventListener("change", draw);
  at("residual").addEventListener("change", draw);
  at("pan").addEventListener("click", (event) => {
    const move = event.target.dataset.move?.split(",").map(Number), part = job && box();
    if (!move || !part) return;
    middle.x += move[0] * part.width * 0.5;
    middle.y += move[1] * part.height * 0.5;
    draw();
  });
  pan(at("stage"));
  let timer;
  addEventListener("resize", () => { clearTimeout(timer); timer = setTimeout(() => job && draw(), 300); });
}

// With Shift, or two fingers, the picture moves, and not the slider.
function pan(stage) {
  let from = null;
  const shift = (event) => stage.classList.toggle("moving", event.shiftKey && zoom() !== "fit");
  addEventListener("keydown", shift);
  addEventListener("keyup", shift);
  stage.addEventListener("pointerdown", (event) => {
    const flat = at("residual").checked && zoom() !== "fit";
    if (!stage.classList.contains("moving") && !flat) return;
    from = { x: event.clientX, y: event.clientY };
    stage.setPointerCapture(event.pointerId);
    event.preventDefault();
  });
  stage.addEventListener("pointermove", (event) => {
    if (from) stage.firstElementChild.style.translate = `${event.clientX - from.x}px ${event.clientY - from.y}px`;
  });
  const end = (event) => {
    if (!from) return;
    const factor = Number(zoom());
    middle.x -= (event.clientX - from.x) / factor;
    middle.y -= (event.clientY - from.y) / factor;
    from = null;
    draw();
  };
  stage.addEventListener("pointerup", end);
  stage.addEventListener("pointercancel", end);
}
