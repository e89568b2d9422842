// The API reference, drawn from the server's own OpenAPI document.

import { ask, element } from "./server.js";

const at = (id) => document.getElementById(id);
const MAX_DEPTH = 4;
const specification = await ask("/api/openapi.json").catch((error) => {
  at("routes").replaceChildren(element("p", { className: "problem", role: "alert", textContent: error.message }));
  return null;
});
if (specification) draw();

function draw() {
  at("version").textContent = specification.info.version;
  at("about").replaceChildren(...words(specification.info.description));
  const groups = new Map();
  for (const [path, methods] of Object.entries(specification.paths)) {
    for (const [method, operation] of Object.entries(methods)) {
      if (operation["x-same-as"]) continue;
      const name = operation.tags[0];
      if (!groups.has(name)) groups.set(name, []);
      groups.get(name).push(route(path, method.toUpperCase(), operation));
    }
  }
  at("groups").replaceChildren(...[...groups.keys()].map((name) => element("a", { href: `#${anchor(name)}`, textContent: name })));
  at("routes").replaceChildren(...[...groups].map(([name, routes]) => element("section", { className: "group", id: anchor(name) }, element("h2", { textContent: name }), ...routes)));
  at("search").addEventListener("input", filter);
  filter();
}

function words(text) {
  return text.split("`").map((part, place) => (place % 2 ? element("code", { textContent: part }) : part));
}

function anchor(name) {
  return name.toLowerCase().replace(/[^a-z0-9]+/g, "-");
}

function filter() {
  const words = at("search").value.toLowerCase().split(/\s+/).filter(Boolean);
  let shown = 0;
  for (const section of document.querySelectorAll(".group")) {
    let some = false;
    for (const entry of section.querySelectorAll("details.route")) {
      entry.hidden = !words.every((word) => entry.dataset.search.includes(word));
      some ||= !entry.hidden;
      shown += Number(!entry.hidden);
    }
    section.hidden = !some;
  }
  at("count").textContent = `${shown} ${shown === 1 ? "route" : "routes"}`;
}

function route(path, method, operation) {
  const inside = element("div", { className: "inside" });
  if (operation.description) inside.append(element("p", {}, ...words(operation.description)));
  const others = Object.entries(specification.paths).filter(([, methods]) => methods[method.toLowerCase()]?.["x-same-as"] === path).map(([other]) => other);
  if (others.length) inside.append(element("p", { className: "quiet", textContent: `Also at ${others.join(", ")}` }));
  const parameters = (operation.parameters ?? []).map((found) => field(found.name, found.schema, found.required, `${found.in}${found.description ? `: ${found.description}` : ""}`, 1));
  if (parameters.length) inside.append(element("h4", { textContent: "Parameters" }), element("ul", { className: "fields" }, ...parameters));
  for (const [type, content] of Object.entries(operation.requestBody?.content ?? {})) {
    inside.append(element("h4", { textContent: `Body (${type})` }), element("ul", { className: "fields" }, ...fields(content.schema, 1)));
  }
  inside.append(element("h4", { textContent: "Answers" }));
  const answers = element("ul", { className: "fields" });
  for (const [status, answer] of Object.entries(operation.responses)) {
    const [type, content] = Object.entries(answer.content ?? {})[0] ?? ["", {}];
    const entry = element("li", {}, element("strong", { textContent: status === "default" ? "otherwise" : status }), ` ${answer.description}`);
    if (type && type !== "application/json") entry.append(element("span", { className: "quiet", textContent: ` (${type})` }));
    if (content.schema && status !== "default") {
      const shown = fields(content.schema, 1);
      if (shown.length) entry.append(element("ul", { className: "fields" }, ...shown));
    }
    answers.append(entry);
  }
  inside.append(answers);
  const summary = element("summary", {}, element("span", { className: "method", "data-method": method, textContent: method }), element("code", { className: "path", textContent: path }), element("span", { className: "what", textContent: operation.summary }));
  const entry = element("details", { className: "route" }, summary, inside);
  entry.dataset.search = `${method} ${path} ${operation.summary} ${operation.description ?? ""} ${operation.tags}`.toLowerCase();
  return entry;
}

function resolved(schema) {
  return schema?.$ref ? specification.components.schemas[schema.$ref.split("/").pop()] : schema;
}

function fields(schema, depth) {
  const found = resolved(schema) ?? {};
  if (found.properties) return Object.entries(found.properties).map(([name, inner]) => field(name, inner, found.required?.includes(name), inner.description, depth));
  return [element("li", {}, element("span", { className: "kind", textContent: kind(schema) }))];
}

function field(name, schema, needed, text, depth) {
  const entry = element("li", {}, element("code", { textContent: name }), " ", element("span", { className: "kind", textContent: kind(schema) }));
  if (needed) entry.append(element("span", { className: "needed", textContent: " required" }));
  if (schema?.default !== undefined && schema.default !== null && schema.default !== "") entry.append(element("span", { className: "quiet", textContent: ` default ${JSON.stringify(schema.default)}` }));
  if (text) entry.append(element("span", { className: "quiet" }, " ", ...words(text)));
  const inner = [schema, schema?.items, schema?.additionalProperties, ...(schema?.anyOf ?? [])].map((part) => (part && typeof part === "object" ? resolved(part) : null)).find((part) => part?.properties);
  if (inner && depth < MAX_DEPTH) entry.append(element("ul", { className: "fields" }, ...fields(inner, depth + 1)));
  return entry;
}

function kind(schema) {
  if (!schema) return "anything";
  if (schema.$ref) return schema.$ref.split("/").pop();
  if (schema.anyOf) return schema.anyOf.map(kind).join(" or ");
  if (schema.enum) return schema.enum.map((value) => JSON.stringify(value)).join(" or ");
  if (schema.const !== undefined) return JSON.stringify(schema.const);
  if (schema.type === "array") return `list of ${kind(schema.items)}`;
  if (schema.type === "object" && schema.additionalProperties && typeof schema.additionalProperties === "object") return `object of ${kind(schema.additionalProperties)}`;
  return { integer: "whole number", number: "number", boolean: "true or false", string: schema.format === "binary" ? "file" : "text", null: "null", object: "object" }[schema.type] ?? "anything";
}
