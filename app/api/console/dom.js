/** Elements of the page: how they are made, and the parts that several views share. */

import { text } from "./messages.js";

/**
 * Return a new element.
 *
 * @param {string} name - its tag, with classes: "p.soft.small".
 * @param {Object} [attributes] - attributes. A function is a listener of the event that the name says without
 *   "on"; true sets an attribute without a value; false, null and undefined leave it out.
 * @param {...(Node|string|null|Array)} children - children. Text becomes text, never markup.
 */
export function h(name, attributes = {}, ...children) {
  const [tag, ...classes] = name.split(".");
  const element = document.createElement(tag);
  if (classes.length) element.className = classes.join(" ");
  for (const [key, value] of Object.entries(attributes)) {
    if (typeof value === "function") element.addEventListener(key.replace(/^on/, ""), value);
    else if (value === true) element.setAttribute(key, "");
    else if (value !== false && value !== null && value !== undefined) element.setAttribute(key, value);
  }
  element.append(...children.flat().filter(child => child !== null && child !== undefined));
  return element;
}

/** Return a button with a text. `kind` is "", "primary", "danger" or "quiet". */
export function button(label, onclick, kind = "", attributes = {}) {
  return h(`button${kind ? `.${kind}` : ""}`, { type: "button", onclick, ...attributes }, label);
}

/** Return a labelled control: the label is above it, and a hint below it if there is one. */
export function field(label, control, hint = null) {
  return h("label.field", {}, h("span", {}, label), control, hint ? h("small", {}, hint) : null);
}

/** Return a select with options [value, label], of which one may be selected. */
export function select(options, selected, attributes = {}) {
  return h("select", attributes, options.map(([value, label]) =>
    h("option", { value, selected: value === selected }, label)));
}

/** Return a paragraph for something that is empty, with an optional action below it. */
export function empty(message, ...actions) {
  return h("div.empty", {}, h("p", {}, message), ...actions);
}

/** Move the focus to an element, else to the heading of the view, if the element that had it is gone. */
export function keepFocus(element = null) {
  const here = document.activeElement;
  if (!here || here === document.body) (element ?? document.querySelector("main h1"))?.focus({ preventScroll: true });
}

/** Return an error as a box that a screen reader announces. */
export function failure(error, retry = null) {
  return h("div.failure", { role: "alert" },
    h("p", {}, h("strong", {}, error.title || text("error.title")), " ", error.message),
    retry ? button(text("error.retry"), retry) : null);
}

/** Replace the children of an element by a sign that something is being loaded. */
export function loading(root) {
  root.replaceChildren(h("p.loading", { role: "status" }, text("loading")));
}

/** Return a heading of level 1 for a view, with a sentence below it and actions beside it. */
export function heading(title, about = null, ...actions) {
  document.title = `${title} · ${text("app.name")}`;
  return h("header.heading", {},
    h("div", {}, h("h1", { tabindex: "-1", dir: "auto" }, title), about ? h("p", {}, about) : null),
    actions.length ? h("div.actions", {}, ...actions) : null);
}

/** Return the path to a view as breadcrumbs: [label, address] each, the last one without an address. */
export function breadcrumbs(...steps) {
  return h("nav.breadcrumbs", { "aria-label": text("nav.path") }, h("ol", {}, steps.map(([label, address]) =>
    h("li", {}, address ? h("a", { href: address }, label) : h("span", { "aria-current": "page" }, label)))));
}

/**
 * Return a button for an action that takes time: it is busy meanwhile, and cannot be pressed twice.
 *
 * @param {string} label - its text.
 * @param {function(): Promise} action - what it does. It handles its own errors.
 */
export function busyButton(label, action, kind = "", attributes = {}) {
  const self = button(label, async () => {
    if (self.getAttribute("aria-busy")) return;
    self.setAttribute("aria-busy", "true");
    try {
      await action();
    } finally {
      self.removeAttribute("aria-busy");
    }
  }, kind, attributes);
  return self;
}
