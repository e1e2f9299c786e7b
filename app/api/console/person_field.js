/** A field that finds a person of a collection by name. */

import { h } from "./dom.js";
import * as gallery from "./gallery.js";
import { text } from "./messages.js";
import { nameOf } from "./people.js";

const SUGGESTIONS = 20;
const PAGE = 1000;
const TYPING_MS = 200;

let fields = 0;

/**
 * Return a field that finds a person of a collection by a part of the name.
 *
 * @param {function(): string} collection - returns the name of the collection.
 * @param {Object} options
 * @param {string} options.label - the label.
 * @param {Object} [options.preset] - the person who is chosen at first.
 * @param {string} [options.except] - id of a person who is left out.
 * @param {boolean} [options.fresh] - whether a name that nobody has is taken as that of a new person.
 * @returns {{input: HTMLElement, list: HTMLElement, chosen: function(string): Promise<Object|null>}} the field, its
 *   suggestions, and a function that returns the person of a collection who is chosen: `{id: null, name}` for a new
 *   one, and null for nobody. It throws an error if several people have the name.
 */
export function personField(collection, { label, preset = null, except = null, fresh = false }) {
  const id = `people-${++fields}`;
  const list = h("datalist", { id });
  const input = h("input", {
    list: id, autocomplete: "off", spellcheck: "false", dir: "auto", maxlength: "220", "aria-label": label, placeholder: label,
  });
  if (preset) input.value = nameOf(preset);
  let found = new Map(), place = null, turn = 0, timer;

  /** Suggest people. Those who have the name of another one are told apart by their ids. */
  function offer(where, people) {
    const others = people.filter(person => person.id !== except && person.id !== preset?.id);
    const names = [...others.map(nameOf), preset && nameOf(preset)];
    found = new Map(others.map(person => {
      const name = nameOf(person);
      const alone = names.indexOf(name) === names.lastIndexOf(name);
      return [alone ? name : text("person.of_several", { name, id: person.id.slice(0, 8) }), person];
    }));
    place = where;
    list.replaceChildren(...[...found.keys()].map(value => h("option", { value })));
  }

  async function search() {
    const mine = ++turn, where = collection();
    if (!where) return;
    const { people } = await gallery.people(where, { name: input.value.trim(), limit: SUGGESTIONS });
    if (mine === turn) offer(where, people);
  }

  const suggest = () => search().catch(() => null); // the request of `chosen` has the same error
  input.addEventListener("focus", suggest);
  input.addEventListener("input", () => {
    clearTimeout(timer);
    if (!found.has(input.value.trim())) timer = setTimeout(suggest, TYPING_MS);
  });

  async function chosen(where) {
    const value = input.value.trim();
    if (!value) return null;
    if (preset && value === nameOf(preset)) return preset;
    const known = where === place ? found.get(value) : null;
    if (known && nameOf(known) !== value) return known; // by the id in the suggestion
    const people = (await called(where, value)).filter(person => person.id !== except);
    if (people.length > 1) {
      turn++;
      offer(where, people);
      throw new Error(text("person.several", { name: value }));
    }
    const nameless = known && known.name === null ? known : null; // found by the suggestion only
    return people[0] ?? nameless ?? (fresh ? { id: null, name: value } : null);
  }

  return { input, list, chosen };
}

/** Return all people of a collection who have this name, or this external id and no name. */
async function called(collection, value) {
  const { people } = await gallery.people(collection, { external_id: value });
  for (let cursor = null; ;) {
    const answer = await gallery.people(collection, { name: value, limit: PAGE, cursor });
    people.push(...answer.people);
    cursor = answer.cursor;
    if (!cursor) return people.filter(person => nameOf(person).trim() === value);
  }
}
