/** Several things in one picture, as typed: "dog left-of frisbee AND at least 2 people". */

const AND = /\s+AND\s+/;
const RELATION = /^(.+?)\s+(left-of|right-of|above|below|inside|near)\s+(.+)$/i;
const COUNT = /^at least (\d+|one|two|three|four|five|six)\s+\S/i;

/**
 * Read a scene.
 *
 * @param {string} text
 * @returns {{things: string[], relations: string[]} | null} null if it is about one thing only
 */
export function parseScene(text) {
  const parts = text
    .split(AND)
    .map((part) => part.trim())
    .filter(Boolean);
  const relations = parts.filter((part) => isRelation(part, parts.length));
  const things = parts.filter((part) => !relations.includes(part));
  if (!relations.length && parts.length < 2 && !COUNT.test(text)) return null;
  // things that only relations name need not be listed, but a scene has to list one
  return { things: things.length ? things : [RELATION.exec(relations[0])[1]], relations };
}

/** "cup near window" alone may just be words; "cup NEAR window", or among others, is a relation. */
function isRelation(part, parts) {
  const how = RELATION.exec(part)?.[2];
  return how !== undefined && (parts > 1 || how.includes("-") || how === how.toUpperCase());
}
