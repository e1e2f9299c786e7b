/** What several views do with people: names, and adding photos to one. */

import { h } from "./dom.js";
import * as gallery from "./gallery.js";
import { number, text } from "./messages.js";
import { notify } from "./notices.js";
import { crop, decode } from "./photos.js";
import { ServiceError } from "./service.js";

/** Crops of faces that were enrolled in this tab, by the id of the face. Photos are not stored anywhere. */
const crops = new Map();

/** Return the name of a person, or what stands for it. */
export function nameOf(person) {
  return person.name ?? person.external_id ?? text("person.unnamed", { id: person.id.slice(0, 8) });
}

/** Return the address of the view of a person. */
export function addressOf(collection, id) {
  return `#/people/${encodeURIComponent(collection)}/${encodeURIComponent(id)}`;
}

/** Return the crop of a face that was enrolled in this tab; else a sign that there is none. */
export function cropOf(face) {
  const kept = crops.get(face);
  if (!kept) return h("span.crop.none", { "aria-hidden": "true" });
  const image = h("canvas.crop", { width: String(kept.width), height: String(kept.height), "aria-hidden": "true" });
  image.getContext("2d").drawImage(kept, 0, 0);
  return image;
}

/**
 * Add a face of each photo to a person, one after the other.
 *
 * @param {{collection: string, id: string}} person - whom the faces are added to.
 * @param {{file: File, face?: Object}[]} photos - the photos, with the face where one is chosen.
 * @param {function(number, Object)} progress - receives the index of each photo and its result: `{face}`,
 *   `{face, duplicate_of}` or `{error}`.
 * @param {AbortSignal} [signal] - stops after the photo that is being added.
 */
export async function addPhotos({ collection, id }, photos, progress, signal = null) {
  for (const [index, { file, face = null }] of photos.entries()) {
    if (signal?.aborted) return;
    let result;
    try {
      result = await gallery.addFace(collection, id, file, face);
      if (!result.face) result = { error: new ServiceError(result) };
    } catch (error) {
      result = { error };
    }
    if (result.face && !result.duplicate_of) await keepCrop(result.face, file);
    progress(index, result);
  }
}

/**
 * Return a function that runs actions one after the other: two of them could create the same new person.
 * An action handles its own errors.
 */
export function queue() {
  let last = Promise.resolve();
  return action => last = last.then(action);
}

/** Append an entry for each photo to a list of results, and return the entries. */
export function listed(list, files) {
  const entries = files.map(file => h("li", {}, file.name));
  list.append(...entries);
  return entries;
}

/**
 * Add the largest face of each photo to a person, and write into the entries of the photos what became of them.
 *
 * @param {{collection: string, id: string}} person - whom the faces are added to.
 * @param {File[]} files - the photos.
 * @param {HTMLElement[]} entries - their entries, as `listed` returns them.
 * @param {AbortSignal} signal - stops after the photo that is being added. A message says how many are done.
 * @returns {Promise<{stored: number, refused: string[]}>} the number of stored faces, and the photos that were
 *   refused, with the reasons.
 */
export async function addListed(person, files, entries, signal) {
  const refused = [];
  let done = 0, stored = 0;
  for (const entry of entries) entry.setAttribute("aria-busy", "true");
  await addPhotos(person, files.map(file => ({ file })), (index, result) => {
    const entry = entries[index];
    entry.removeAttribute("aria-busy");
    entry.className = result.error ? "bad" : "good";
    entry.append(`: ${resultText(result)}`);
    done++;
    if (result.error) refused.push(entry.textContent);
    else if (!result.duplicate_of) stored++;
  }, signal);
  if (done < files.length) notify(text("photos.stopped", { done, count: files.length }), "bad");
  return { stored, refused };
}

/**
 * Add faces to a person who may be new. A new person of whom no face could be stored is deleted again.
 *
 * @param {string} collection - the collection.
 * @param {{id: string|null, name: string}} chosen - the person, as `personField` returns it.
 * @param {{file: File, face?: Object}[]} photos - the photos, as `addPhotos` takes them.
 * @param {function(number)} [progress] - receives the number of photos that are done.
 * @returns {Promise<{person: Object, added: number, duplicates: number, errors: Error[], refused: string[]}>} what
 *   became of them; `refused` has the name of the photo and the reason of each error.
 */
export async function enrol(collection, chosen, photos, progress = () => null) {
  const person = chosen.id ? chosen : await gallery.addPerson(collection, { name: chosen.name });
  const outcome = { person, added: 0, duplicates: 0, errors: [], refused: [] };
  await addPhotos({ collection, id: person.id }, photos, (index, result) => {
    if (result.error) {
      outcome.errors.push(result.error);
      outcome.refused.push(`${photos[index].file.name}: ${resultText(result)}`);
    } else outcome[result.duplicate_of ? "duplicates" : "added"]++;
    progress(index + 1);
  });
  if (outcome.errors.length < photos.length) return outcome;
  if (!chosen.id) await gallery.deletePerson(collection, person.id).catch(() => null); // the first error says more
  throw outcome.errors[0];
}

async function keepCrop(face, file) {
  const bitmap = await decode(file);
  if (!bitmap) return;
  crops.set(face.id, crop(bitmap, face.box));
  bitmap.close();
}

/** Return in words what became of a photo. */
export function resultText(result) {
  if (result.error) return result.error.message;
  if (result.duplicate_of) return text("photos.duplicate");
  return text("photos.added", { quality: result.face.quality === null ? text("none") : number(result.face.quality, 2) });
}
