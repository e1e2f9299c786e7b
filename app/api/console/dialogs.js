/** Dialogs: questions and forms above the page. */

import { button, failure, h } from "./dom.js";
import { text } from "./messages.js";
import { notifyError } from "./notices.js";

let count = 0;

/**
 * Show a form in a dialog until it succeeds or is cancelled.
 *
 * @param {Object} options
 * @param {string} options.title - the title.
 * @param {(Node|string)[]} options.body - the controls, with names, and texts.
 * @param {string} options.label - the text of the button that submits.
 * @param {string} [options.kind] - "primary" or "danger".
 * @param {function(FormData, AbortSignal): Promise<*>} options.submit - what the button does. The dialog shows its
 *   error and stays open. The signal says that the dialog was closed meanwhile.
 * @returns {Promise<*>} what `submit` returned; undefined if the dialog was closed before.
 */
export function ask({ title, body, label, kind = "primary", submit }) {
  return new Promise(resolve => {
    let result;
    const opener = document.activeElement;
    const id = `dialog-${++count}`;
    const errors = h("div");
    const closed = new AbortController();
    const go = h(`button.${kind}`, { type: "submit" }, label);
    const form = h("form", {}, h("h2", { id }, title), ...body, errors,
      h("div.actions", {}, button(text("dialog.cancel"), () => dialog.close()), go));
    const dialog = h("dialog", { "aria-labelledby": id }, form);
    form.addEventListener("submit", async event => {
      event.preventDefault();
      if (go.getAttribute("aria-busy")) return;
      go.setAttribute("aria-busy", "true"); // not disabled: it would lose the focus
      errors.replaceChildren();
      try {
        result = await submit(new FormData(form), closed.signal) ?? true;
        dialog.close();
      } catch (error) {
        if (closed.signal.aborted) notifyError(error);
        else errors.replaceChildren(failure(error));
      } finally {
        go.removeAttribute("aria-busy");
      }
    });
    dialog.addEventListener("close", () => {
      closed.abort();
      dialog.remove();
      if (!opener?.isConnected) document.querySelector("main h1")?.focus(); // else the browser returns to the opener
      resolve(result);
    });
    document.body.append(dialog);
    dialog.showModal();
  });
}

/** Close the dialog that is open, if there is one. */
export function closeDialog() {
  document.querySelector("dialog[open]")?.close();
}

/** Ask before something is deleted. `word` must be typed first, if there is one. */
export function askToDelete({ title, message, label, word = null, submit }) {
  const body = [h("p", {}, message)];
  if (word !== null) {
    body.push(h("label.field", {}, h("span", {}, text("dialog.type", { word })),
      h("input", {
        name: "word", required: true, autocomplete: "off", spellcheck: "false",
        oninput: event => event.target.setCustomValidity(event.target.value === word ? "" : text("dialog.type", { word })),
      })));
  }
  return ask({ title, body, label, kind: "danger", submit });
}
