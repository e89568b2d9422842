// The page that makes a picture: the form, the live result, and what was made before.

import { textToImage } from "./graph.js";
import { Live } from "./live.js";
import { ask, bytes, element, post } from "./server.js";

const at = (id) => document.getElementById(id);
const MAX_SEED = 0xffffffffffffn;
let current = null; // the id of the job that is shown
let shownUrl = null;

const live = new Live({
  status: ({ status }) => tellWorker(status.exec_info.queue_remaining),
  progress: (said) => said.prompt_id === current && step(said.value, said.max),
  executing: (said) => said.prompt_id === current && (said.node === null ? finish() : say("Working")),
  execution_start: (said) => said.prompt_id === current && say("Started"),
  execution_error: (said) => said.prompt_id === current && fail(said.exception_message),
  preview: (about, blob) => about.prompt_id === current && show(URL.createObjectURL(blob), "Preview of the picture so far", true),
  away: () => { at("worker").dataset.state = "away"; at("worker-text").textContent = "Connection lost, trying again"; },
});

at("form").addEventListener("submit", async (event) => {
  event.preventDefault();
  const wanted = read();
  if (wanted === null) return;
  begin();
  try {
    const job = await post("/api/v1/jobs", { graph: await textToImage(wanted), client_id: live.id });
    current = job.id;
    const now = await ask(job.links.self);
    if (["completed", "failed", "cancelled"].includes(now.state)) await finish();
    else if (now.state === "queued") say("Waiting for its turn");
  } catch (error) {
    fail(explained(error));
  }
  if (!at("keep").checked) roll();
});
at("cancel").addEventListener("click", async () => {
  if (current === null) return;
  try {
    await post(`/api/v1/jobs/${encodeURIComponent(current)}/cancel`, {});
  } catch (error) {
    fail(explained(error));
  }
});
at("dice").addEventListener("click", roll);
for (const name of ["steps", "guidance"]) at(name).addEventListener("input", () => (at(`${name}-shown`).textContent = at(name).value));
let typing = 0;
at("prompt").addEventListener("input", () => {
  clearTimeout(typing);
  typing = setTimeout(suggest, 200);
});

function read() {
  const prompt = at("prompt").value.trim();
  const seed = at("seed").value.trim();
  complain("prompt", prompt ? "" : "Say what you would like to see.");
  complain("seed", /^\d{1,20}$/.test(seed) && BigInt(seed) <= MAX_SEED ? "" : `The seed is a whole number from 0 to ${MAX_SEED}.`);
  const wrong = at("form").querySelector('[aria-invalid="true"]');
  if (wrong) {
    wrong.focus();
    return null;
  }
  const [width, height] = at("size").value.split("x").map(Number);
  return { prompt, negative: at("negative").value.trim(), seed: Number(seed), steps: Number(at("steps").value), guidance: Number(at("guidance").value), width, height };
}

function complain(name, text) {
  at(`${name}-error`).textContent = text;
  at(`${name}-error`).hidden = !text;
  at(name).setAttribute("aria-invalid", String(Boolean(text)));
}

function roll() {
  const [high, low] = crypto.getRandomValues(new Uint32Array(2));
  at("seed").value = String((BigInt(high & 0xffff) << 32n) | BigInt(low));
}

function begin() {
  current = null;
  at("make").disabled = true;
  at("cancel").hidden = false;
  at("progress").hidden = false;
  at("fault").hidden = true;
  at("facts").hidden = true;
  at("stage").dataset.state = at("picture").hidden ? "empty" : "busy";
  step(0, 1);
  say("Sending");
}

function step(value, total) {
  const part = Math.max(0, Math.min(1, total ? value / total : 0));
  at("fill").style.transform = `translateX(${(part - 1) * 100}%)`;
  at("track").setAttribute("aria-valuenow", String(Math.round(part * 100)));
  if (total > 1) say(`Step ${value} of ${total}`);
}

function say(text) {
  at("step").textContent = text;
}

function show(url, description, temporary = false) {
  if (shownUrl) URL.revokeObjectURL(shownUrl);
  shownUrl = temporary ? url : null;
  at("picture").src = url;
  at("picture").alt = description;
  at("picture").hidden = false;
  at("empty").hidden = true;
  at("fault").hidden = true;
  at("stage").dataset.state = temporary ? "busy" : "done";
}

function ended() {
  at("make").disabled = false;
  at("cancel").hidden = true;
  at("progress").hidden = true;
}

function fail(message) {
  ended();
  current = null;
  at("picture").hidden = true;
  at("empty").hidden = true;
  at("fault").hidden = false;
  at("fault").textContent = message;
  at("stage").dataset.state = "failed";
}

async function finish() {
  const id = current;
  if (id === null) return;
  current = null;
  try {
    await showResults(id);
  } catch (error) {
    fail(explained(error));
  }
  ended();
  await recent();
}

async function showResults(id) {
  const results = await ask(`/api/v1/jobs/${encodeURIComponent(id)}/results`);
  const file = results.files.find((found) => found.media_type.startsWith("image/"));
  if (!file) {
    const job = await ask(`/api/v1/jobs/${encodeURIComponent(id)}`);
    fail(job.state === "cancelled" ? "Cancelled." : job.error?.message ?? "The graph made no picture.");
    return;
  }
  const made = results.made;
  show(file.url, made.prompts[0] ?? "The picture");
  const facts = {
    Prompt: made.prompts[0] ?? "", Seed: made.seeds.join(", "), Model: made.models.join(", "),
    Settings: [made.steps && `${made.steps} steps`, made.guidance && `guidance ${made.guidance}`, made.sampler, made.scheduler].filter(Boolean).join(", "),
    Time: made.duration_s === null ? "" : `${made.duration_s.toFixed(2)} s`,
    File: element("a", { href: file.url, download: file.name, textContent: `${file.name} (${file.width} × ${file.height}, ${bytes(file.size_bytes ?? 0)})` }),
  };
  const shown = Object.entries(facts).filter(([, value]) => value !== "");
  at("facts").replaceChildren(...shown.flatMap(([name, value]) => [element("dt", { textContent: name }), element("dd", {}, value)]));
  at("facts").hidden = false;
}

async function recent() {
  const { jobs } = await ask("/api/v1/jobs?state=completed&limit=24");
  const pictures = jobs.filter((job) => job.preview?.media_type.startsWith("image/")).slice(0, 12);
  at("recent-empty").hidden = pictures.length > 0;
  at("recent").replaceChildren(...pictures.map((job) => {
    const picture = element("img", { src: `${job.preview.url}&preview=webp;80`, alt: "", loading: "lazy" });
    const button = element("button", { type: "button", "aria-label": `Show ${job.preview.name}` }, picture);
    button.addEventListener("click", () => showResults(job.id).catch((error) => fail(explained(error))));
    return element("li", {}, button);
  }));
}

async function suggest() {
  try {
    const { suggestions } = await ask(`/api/v1/prompts/suggest?limit=6&q=${encodeURIComponent(at("prompt").value)}`);
    at("suggestions").replaceChildren(...suggestions.map(({ text }) => {
      const button = element("button", { type: "button", textContent: text });
      button.addEventListener("click", () => { at("prompt").value = text; at("prompt").focus(); suggest(); });
      return button;
    }));
  } catch {
    at("suggestions").replaceChildren();
  }
}

let ready = false;
async function tellWorker(remaining) {
  if (!ready) ready = (await ask("/api/v1/ready").catch(() => null))?.ready ?? false;
  at("worker").dataset.state = !ready ? "starting" : remaining ? "busy" : "ready";
  at("worker-text").textContent = !ready ? "Worker starting" : remaining ? `${remaining} ${remaining === 1 ? "job" : "jobs"} in hand` : "Ready";
  if (!ready) setTimeout(() => tellWorker(remaining), 1000);
}

async function server() {
  const [version, { models }, { total }, { workers }] = await Promise.all([ask("/api/v1/version"), ask("/api/v1/models"), ask("/api/v1/nodes"), ask("/api/v1/stats")]);
  at("version").textContent = version.version;
  const checkpoints = models.filter((model) => model.kind === "checkpoints");
  const cards = [
    ["Models", checkpoints.length ? checkpoints.map((model) => `${model.name} (${bytes(model.size_bytes)})`).join(", ") : "No checkpoint yet: put one into the models folder."],
    ["Other weights", String(models.length - checkpoints.length)],
    ["Node types", String(total)],
    ["Workers", workers.map((worker) => `${worker.kind}: ${worker.ready ? "ready" : "starting"}${worker.devices[0] ? `, ${worker.devices[0].name}` : ""}`).join("; ")],
  ];
  at("server").replaceChildren(...cards.map(([name, text]) => element("div", { className: "card" }, element("h3", { textContent: name }), element("p", { textContent: text }))));
}

function explained(error) {
  const problems = error.details?.problems ?? [];
  return problems.length ? problems.map((problem) => [problem.message, problem.details].filter(Boolean).join(": ")).join("\n") : error.message;
}

for (const load of [server, recent, suggest]) load().catch((error) => fail(explained(error)));
