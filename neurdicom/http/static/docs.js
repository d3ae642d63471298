"use strict";
// Shows openapi.json and lets each operation be tried. Everything from the server is put in as text, never as HTML.

const base = location.pathname.replace(/\/+api\/+docs\/*$/, "");
const byId = (id) => document.getElementById(id);

function make(name, properties = {}, ...children) {
  const { class: className, data, ...rest } = properties;
  const element = Object.assign(document.createElement(name), rest);
  if (className) element.className = className;
  Object.assign(element.dataset, data);
  element.append(...children.filter((child) => child !== null && child !== undefined));
  return element;
}

async function call(method, path, options = {}) {
  return fetch(base + path, { method, credentials: "same-origin", ...options });
}

async function problemOf(response) {
  try {
    const problem = await response.json();
    return problem.detail || problem.title;
  } catch {
    return `${response.status} ${response.statusText}`;
  }
}

// -- signing in and out ---------------------------------------------------------------------------------------

function showSignIn() {
  const form = byId("sign-in");
  form.hidden = false;
  form.elements.email.focus();
  form.addEventListener("submit", async (event) => {
    event.preventDefault();
    const { email, password } = form.elements;
    const response = await call("POST", "/api/users/auth", {
      headers: { "Content-Type": "application/json" },
      body: JSON.stringify({ email: email.value, password: password.value }),
    });
    if (response.ok) location.reload();
    else form.querySelector(".problem").textContent = await problemOf(response);
  });
}

async function showAccount() {
  const response = await call("GET", "/api/users/check");
  if (!response.ok) return;
  byId("who").textContent = (await response.json()).email;
  byId("account").hidden = false;
  byId("sign-out").addEventListener("click", async () => {
    await call("POST", "/api/users/logout");
    location.reload();
  });
}

// -- the description ------------------------------------------------------------------------------------------

function typeOf(schema) {
  if (!schema) return "";
  if (schema.$ref) return schema.$ref.split("/").pop();
  if (schema.enum) return schema.enum.map((value) => JSON.stringify(value)).join(" | ");
  if (schema.const !== undefined) return JSON.stringify(schema.const);
  const choices = schema.anyOf || schema.oneOf;
  if (choices) return choices.map(typeOf).join(" | ");
  if (schema.type === "array") return `array of ${typeOf(schema.items) || "anything"}`;
  const type = Array.isArray(schema.type) ? schema.type.join(" | ") : schema.type || "anything";
  return schema.format ? `${type} (${schema.format})` : type;
}

function limitsOf(schema) {
  const names = { minimum: "from", maximum: "to", default: "default", minLength: "min. length", maxLength: "max. length" };
  return Object.keys(names).filter((key) => schema[key] !== undefined)
    .map((key) => `${names[key]} ${JSON.stringify(schema[key])}`).join(", ");
}

function example(schema) {
  if (!schema) return null;
  if (schema.examples) return schema.examples[0];
  if (schema.default !== undefined) return schema.default;
  if (schema.const !== undefined) return schema.const;
  if (schema.enum) return schema.enum[0];
  if (schema.type === "object") {
    const wanted = schema.required || Object.keys(schema.properties || {});
    return Object.fromEntries(wanted.map((key) => [key, example((schema.properties || {})[key])]));
  }
  if (schema.type === "array") return [];
  return { integer: 0, number: 0, boolean: false, string: "" }[schema.type] ?? null;
}

const isFile = (type, schema) => schema.format === "binary" || type.startsWith("multipart/") || type === "application/zip";

// A group is an object in the description; in the query its members stand by themselves.
function eachOf(parameter) {
  const { properties } = parameter.schema;
  if (!parameter.explode || !properties) return [parameter];
  return Object.entries(properties).map(([name, schema]) => ({
    name, in: parameter.in, description: schema.description, schema,
  }));
}

function showParameters(operation, fields) {
  const rows = (operation.parameters || []).flatMap(eachOf).map((parameter) => {
    const { name, required, schema } = parameter;
    const choices = schema.enum || (schema.type === "boolean" ? ["true", "false"] : null);
    const input = choices
      ? make("select", {}, ...["", ...choices].map((value) => make("option", { textContent: value })))
      : make("input", { class: "wide" });
    input.setAttribute("aria-label", `${name}, in ${parameter.in}`);
    input.required = required;
    fields.push({ parameter, input });
    const about = [parameter.description, limitsOf(schema)].filter(Boolean).join("; ");
    return make("tr", {},
      make("th", {}, make("code", { textContent: name + (required ? " *" : "") })),
      make("td", {}, make("span", { class: "note", textContent: typeOf(schema) })),
      make("td", {}, input, about ? make("div", { class: "note", textContent: about }) : null));
  });
  return rows.length ? [make("h3", { textContent: "Parameters" }), make("table", {}, make("tbody", {}, ...rows))] : [];
}

function showBody(operation, state) {
  if (!operation.requestBody) return [];
  const content = operation.requestBody.content;
  const select = make("select", {}, ...Object.keys(content).map((type) => make("option", { textContent: type })));
  select.setAttribute("aria-label", "Media type of the body");
  const place = make("div");
  const choose = () => {
    const schema = content[select.value].schema;
    const file = isFile(select.value, schema);
    state.body = file ? make("input", { type: "file", multiple: select.value.startsWith("multipart/") })
      : make("textarea", { value: JSON.stringify(example(schema), null, 2), spellcheck: false });
    state.body.setAttribute("aria-label", "Body");
    const shape = make("details", {}, make("summary", { textContent: "Schema" }),
      make("pre", { textContent: JSON.stringify(schema, null, 2) }));
    place.replaceChildren(state.body, ...(file ? [] : [shape]));
  };
  select.addEventListener("change", choose);
  state.type = select;
  choose();
  return [make("h3", { textContent: "Body" }), select, place];
}

function showAnswers(operation) {
  const rows = Object.entries(operation.responses).map(([status, response]) => {
    const kinds = Object.entries(response.content || {}).map(([type, { schema }]) => `${type}: ${typeOf(schema)}`);
    return make("tr", {}, make("th", {}, make("code", { textContent: status })),
      make("td", { textContent: response.description }),
      make("td", { class: "note", textContent: kinds.join("\n") }));
  });
  const schemas = Object.values(operation.responses)[0]?.content;
  const schema = schemas && Object.values(schemas)[0]?.schema;
  const shape = schema && (schema.properties || schema.items)
    ? make("details", {}, make("summary", { textContent: "Schema of the first" }),
      make("pre", { textContent: JSON.stringify(schema, null, 2) })) : null;
  return [make("h3", { textContent: "Answers" }), make("table", {}, make("tbody", {}, ...rows)), shape];
}

// -- trying an operation --------------------------------------------------------------------------------------

function addressOf(path, fields) {
  const query = new URLSearchParams();
  for (const { parameter, input } of fields) {
    if (parameter.in === "path") path = path.replace(`{${parameter.name}}`, encodeURIComponent(input.value));
    else if (input.value !== "") query.append(parameter.name, input.value);
  }
  return path + (query.size ? `?${query}` : "");
}

function bodyOf(state) {
  if (!state.body) return {};
  const type = state.type.value;
  if (state.body.type !== "file") return state.body.value.trim() ? { headers: { "Content-Type": type }, body: state.body.value } : {};
  if (!type.startsWith("multipart/")) return { headers: { "Content-Type": type }, body: state.body.files[0] };
  const form = new FormData();
  for (const file of state.body.files) form.append("file", file);
  return { body: form };
}

async function showAnswer(response, place) {
  const type = (response.headers.get("Content-Type") || "").split(";")[0];
  const headers = [...response.headers].map(([name, value]) => `${name}: ${value}`).join("\n");
  const parts = [make("p", { textContent: `${response.status} ${response.statusText}` }),
    make("details", {}, make("summary", { textContent: "Headers" }), make("pre", { textContent: headers }))];
  const blob = await response.blob();
  if (type.endsWith("json")) {
    const text = await blob.text();
    const isShort = blob.size < 1e6;
    parts.push(make("pre", { textContent: isShort && text ? JSON.stringify(JSON.parse(text), null, 2) : text.slice(0, 1e6) }));
  } else if (type.startsWith("image/")) {
    parts.push(make("img", { src: URL.createObjectURL(blob), alt: "The answered image" }));
  } else if (type.startsWith("text/")) {
    parts.push(make("pre", { textContent: await blob.text() }));
  } else if (blob.size) {
    const name = `answer${type === "application/dicom" ? ".dcm" : ".bin"}`;
    parts.push(make("a", { href: URL.createObjectURL(blob), download: name, textContent: `Save ${blob.size} bytes (${type})` }));
  }
  place.replaceChildren(...parts);
}

function fill(inside, method, path, operation) {
  const fields = [];
  const state = {};
  const answer = make("div", { class: "answer" });
  answer.setAttribute("aria-live", "polite");
  const form = make("form", {},
    operation.description ? make("p", { textContent: operation.description }) : null,
    ...showParameters(operation, fields), ...showBody(operation, state),
    make("p", {}, make("button", { textContent: "Send" })), answer, ...showAnswers(operation));
  form.addEventListener("submit", async (event) => {
    event.preventDefault();
    answer.replaceChildren(make("p", { class: "note", textContent: "…" }));
    try {
      await showAnswer(await call(method.toUpperCase(), addressOf(path, fields), bodyOf(state)), answer);
    } catch (error) {
      answer.replaceChildren(make("p", { class: "problem", textContent: String(error) }));
    }
  });
  inside.append(form);
}

function showOperation(method, path, operation) {
  const inside = make("div", { class: "inside" });
  const element = make("details", { id: operation.operationId, class: "operation",
    data: { text: `${method} ${path} ${operation.summary}`.toLowerCase() } },
    make("summary", {}, make("span", { class: `method ${method}`, textContent: method.toUpperCase() }),
      make("code", { textContent: path }), make("span", { class: "about", textContent: operation.summary })), inside);
  element.addEventListener("toggle", () => {
    if (element.open && !inside.hasChildNodes()) fill(inside, method, path, operation);
  });
  return element;
}

function show(description) {
  const groups = new Map(description.tags.map(({ name }) => [name, []]));
  const about = new Map(description.tags.map((tag) => [tag.name, tag.description]));
  for (const [path, methods] of Object.entries(description.paths)) {
    for (const [method, operation] of Object.entries(methods)) {
      groups.get(operation.tags[0]).push(showOperation(method, path, operation));
    }
  }
  const sections = [...groups].map(([tag, elements]) =>
    make("section", {}, make("h2", { textContent: tag }), make("p", { textContent: about.get(tag) }), ...elements));
  byId("operations").replaceChildren(...sections);
  const search = byId("search");
  search.hidden = false;
  search.querySelector("input").addEventListener("input", (event) => {
    const words = event.target.value.toLowerCase().split(/\s+/);
    for (const section of sections) {
      const found = [...section.querySelectorAll(".operation")].filter((element) => {
        element.hidden = !words.every((word) => element.dataset.text.includes(word));
        return !element.hidden;
      });
      section.hidden = !found.length;
    }
  });
  const linked = location.hash && byId(location.hash.slice(1));
  if (linked) linked.open = true;
}

async function start() {
  const response = await call("GET", "/api/openapi.json");
  if (response.status === 401) return showSignIn();
  if (!response.ok) throw new Error(await problemOf(response));
  show(await response.json());
  return showAccount();
}

start().catch((error) => byId("operations").replaceChildren(make("p", { class: "problem", textContent: String(error) })));
