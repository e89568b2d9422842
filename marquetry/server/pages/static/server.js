// What the pages ask of the server.

export class ServerError extends Error {
  constructor(status, error) {
    super(error.message);
    this.status = status;
    this.code = error.code;
    this.details = error.details ?? {};
  }
}

export async function ask(path, options = {}) {
  let answer;
  try {
    answer = await fetch(path, options);
  } catch {
    throw new ServerError(0, { code: "unreachable", message: "The server does not answer. Is it still running?" });
  }
  const type = answer.headers.get("Content-Type") ?? "";
  const body = type.includes("json") ? await answer.json() : null;
  if (!answer.ok && !(answer.status === 503 && body?.checks)) {
    throw new ServerError(answer.status, body?.error ?? { code: "error", message: `The server answered ${answer.status}.` });
  }
  return body;
}

export function post(path, body, headers = {}) {
  return ask(path, { method: "POST", headers: { "Content-Type": "application/json", ...headers }, body: JSON.stringify(body) });
}

export function element(name, attributes = {}, ...children) {
  const made = document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) {
    if (key in made && key !== "list") made[key] = value;
    else made.setAttribute(key, value);
  }
  made.append(...children);
  return made;
}

export function bytes(count) {
  if (count < 1024) return `${count} B`;
  const unit = Math.min(3, Math.floor(Math.log2(count) / 10));
  return `${(count / 2 ** (10 * unit)).toFixed(1)} ${["B", "KiB", "MiB", "GiB"][unit]}`;
}
