// Calls of the API: with the token, where one is needed, and errors as texts.
import { text } from "./text.js";

let token = sessionStorage.getItem("token") ?? "";

export function setToken(given) {
  token = given;
  sessionStorage.setItem("token", given);
}

export class Refused extends Error {
  constructor(status, detail, after) {
    super(detail);
    this.status = status;
    this.after = after;
  }
}

export async function call(path, options = {}) {
  const headers = { ...options.headers };
  if (token) headers.Authorization = `Bearer ${token}`;
  let response;
  try {
    response = await fetch(`/v1${path}`, { ...options, headers });
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new Refused(0, text("unreachable"));
  }
  if (response.ok) return response;
  const problem = await response.json().catch(() => ({}));
  throw new Refused(response.status, problem.detail ?? response.statusText, Number(response.headers.get("Retry-After")) || 0);
}

// A full server is asked again when it says so.
export async function patiently(path, options) {
  for (;;) {
    try {
      return await call(path, options);
    } catch (error) {
      if (error.status !== 429 && error.status !== 503) throw error;
      await new Promise((done) => setTimeout(done, 1000 * Math.min(error.after || 2, 30)));
    }
  }
}

// Not EventSource, which cannot send a token.
export async function* events(id) {
  const response = await patiently(`/jobs/${id}/events`, {});
  const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
  let held = "";
  for (;;) {
    const { value, done } = await reader.read();
    if (done) return;
    held += value;
    const lines = held.split(/\r?\n/);
    held = lines.pop();
    for (const line of lines) if (line.startsWith("data:")) yield JSON.parse(line.slice(5));
  }
}
