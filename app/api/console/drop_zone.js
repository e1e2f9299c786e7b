/** A field for photos: they are dropped on it, pasted into the page, or chosen. */

import { h } from "./dom.js";
import { text } from "./messages.js";
import { notify } from "./notices.js";

/**
 * Return a field for photos.
 *
 * @param {Object} options
 * @param {string} options.label - what to drop here.
 * @param {boolean} [options.multiple] - whether it takes several photos.
 * @param {boolean} [options.compact] - whether it is small.
 * @param {function(File[])} options.onfiles - receives the photos.
 * @param {AbortSignal} [options.signal] - ends when the view is left. With it, photos can be pasted, too.
 */
export function dropZone({ label, multiple = false, compact = false, onfiles, signal = null }) {
  const input = h("input", {
    type: "file", accept: "image/*,.heic,.heif,.avif", multiple, "aria-label": label, title: "",
    onchange: () => {
      give(input.files);
      input.value = ""; // the same photo can be chosen again
    },
  });
  const zone = h(`div.drop${compact ? ".compact" : ""}`, {
    ondragover: event => {
      event.preventDefault();
      zone.classList.add("over");
    },
    ondragleave: () => zone.classList.remove("over"),
    ondrop: event => {
      event.preventDefault();
      zone.classList.remove("over");
      give(event.dataTransfer.files);
    },
  }, h("span.hint", {}, label), input);

  function give(list) {
    const files = [...list].filter(isPhoto);
    const others = [...list].filter(file => !isPhoto(file));
    if (others.length) notify(text("photos.not_taken", { names: others.map(file => file.name).join(", ") }), "bad");
    if (files.length > 1 && !multiple) notify(text("photos.first", { name: files[0].name }));
    if (files.length) onfiles(multiple ? files : files.slice(0, 1));
  }

  if (signal) {
    addEventListener("paste", event => {
      if (event.clipboardData.files.length && !document.querySelector("dialog[open]")) give(event.clipboardData.files);
    }, { signal });
  }
  return zone;
}

/** Return a field for photos that shows one in its place, as soon as it has one. */
export function photoZone(options) {
  const canvas = h("canvas", { role: "img", hidden: true, "aria-label": text("photo.none") });
  const zone = dropZone(options);
  zone.prepend(canvas);
  return { zone, canvas };
}

/** Keep the browser from leaving the page for a file that is dropped beside a field for photos. */
export function guardDrops() {
  for (const kind of ["dragover", "drop"]) {
    addEventListener(kind, event => {
      if (event.defaultPrevented || !event.dataTransfer?.types.includes("Files")) return;
      event.preventDefault();
      event.dataTransfer.dropEffect = "none";
    });
  }
}

/** Return whether a file may be a photo. Some systems give HEIC files no media type. */
function isPhoto(file) {
  return file.type.startsWith("image/") || /\.(avif|heic|heif)$/i.test(file.name);
}
