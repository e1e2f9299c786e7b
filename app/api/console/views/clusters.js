/** Group the faces of many photos by person. `groups.js` shows the groups and enrols them. */

import { busyButton, button, failure, field, h, heading, keepFocus } from "../dom.js";
import { dropZone } from "../drop_zone.js";
import * as gallery from "../gallery.js";
import { bytes, text } from "../messages.js";
import { announce, notify } from "../notices.js";
import { fillCrops, groupsOf } from "./groups.js";

/** The photos, and the groups with the names that were entered, stay when the view is left. */
let photos = [];
let groups = null;

/** Show the view. */
export async function showClusters(root, _, signal) {
  const chosen = h("p.soft", { role: "status" });
  const output = h("div.view");
  const options = h("form.parameters", { onsubmit: event => event.preventDefault() },
    field(text("try.min_face_size"), h("input", { type: "number", name: "min_face_size", min: "6", step: "1", placeholder: "20" })),
    field(text("clusters.threshold"), h("input", {
      type: "number", name: "threshold", min: "-1", max: "1", step: "any", placeholder: text("try.threshold.default"),
    })),
    busyButton(text("clusters.run"), run, "primary"),
    button(text("clusters.clear"), clear));
  let turn = new AbortController();
  signal.addEventListener("abort", () => turn.abort());

  function counted() {
    const size = photos.reduce((sum, file) => sum + file.size, 0);
    chosen.textContent = photos.length ? text("clusters.photos", { count: photos.length, size: bytes(size) }) : text("clusters.none");
  }

  function add(files) {
    const known = new Set(photos.map(identity));
    photos = [...photos, ...files.filter(file => !known.has(identity(file)))];
    counted();
  }

  function clear() {
    turn.abort();
    [photos, groups] = [[], null];
    counted();
    output.replaceChildren();
  }

  async function run() {
    if (signal.aborted) return;
    if (!photos.length) {
      notify(text("clusters.none"));
      return;
    }
    turn.abort();
    const mine = turn = new AbortController();
    const working = text("clusters.running", { count: photos.length });
    output.replaceChildren(h("p.loading", {}, working));
    announce(working);
    const files = photos;
    groups = null;
    try {
      const answer = await gallery.cluster(files, Object.fromEntries(new FormData(options)), mine.signal);
      groups = groupsOf(answer, files);
      await list(mine.signal);
      announce(output.querySelector("h2").textContent);
      keepFocus(output.querySelector("h2"));
    } catch (error) {
      if (error.name !== "AbortError") output.replaceChildren(failure(error, run));
    }
  }

  async function list(shown) {
    const collections = await gallery.collections(shown).catch(() => []);
    if (shown.aborted) return;
    groups.target.offer(collections.filter(item => item.usable && item.model === groups.model).map(item => item.name));
    output.replaceChildren(...groups.elements);
    fillCrops(groups, shown);
  }

  root.replaceChildren(
    heading(text("clusters.title"), text("clusters.about")),
    dropZone({ label: text("clusters.drop"), multiple: true, compact: true, onfiles: add, signal }),
    chosen, options, output);
  counted();
  if (groups) await list(turn.signal);
}

const identity = file => `${file.name}/${file.size}/${file.lastModified}`;
