/** Short messages about what was done, which screen readers announce. */

import { button, h, keepFocus } from "./dom.js";
import { text } from "./messages.js";

const SHOWN_MS = 7000;
const region = h("div.notices", { role: "status", "aria-live": "polite" });
const spoken = h("p.spoken", { role: "status" });

/** Return the elements that hold the messages: those at the bottom of the page, and those that are only announced. */
export const notices = () => [region, spoken];

/** Let a screen reader say what the page shows in another place. */
export function announce(message) {
  const line = document.createTextNode(message);
  spoken.replaceChildren(line);
  setTimeout(() => line.remove(), SHOWN_MS);
}

/** Show a message for some seconds, and an error until it is closed. While a dialog is open, messages wait. */
export function notify(message, kind = "") {
  const dialog = document.querySelector("dialog[open]"); // the page behind it is inert: nothing there is announced
  if (dialog) {
    dialog.addEventListener("close", () => notify(message, kind), { once: true });
    return;
  }
  const notice = h(`p.notice${kind ? `.${kind}` : ""}`, {}, message);
  if (kind === "bad") {
    notice.append(" ", button(text("notice.close"), () => {
      notice.remove();
      keepFocus(region.querySelector("button"));
    }));
  } else setTimeout(() => notice.remove(), SHOWN_MS);
  region.append(notice);
  region.scrollTop = region.scrollHeight;
}

/** Show an error. Nothing is shown for a request that was given up. */
export function notifyError(error) {
  if (error.name === "AbortError") return;
  notify(error.message || error.title || text("error.title"), "bad");
}

/** Show that something was deleted: the answer of a DELETE says whether bytes are still being erased. */
export function notifyDeleted(message, answer) {
  notify(answer?.detail ? `${message} ${answer.detail}` : message);
}
