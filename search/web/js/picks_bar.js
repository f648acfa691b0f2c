/** The bar below the results that holds what was picked for a scene in open pictures. */

import { searchPicks } from "./actions.js";
import { byId, el } from "./dom.js";
import { button } from "./message.js";
import { clearPicks, onPicks, picks, togglePick } from "./picks.js";
import { exampleThumb } from "./thumbs.js";

/** Show the bar while there is something in it. */
export function watchPicks() {
  onPicks(() => {
    const bar = byId("picks-bar");
    bar.hidden = picks().length === 0;
    bar.replaceChildren(
      ...picks().map(thumbButton),
      el(
        "button",
        {
          type: "button",
          class: "button primary small",
          data: { testid: "picks-search" },
          on: { click: searchPicks },
        },
        "Pictures with all of these",
      ),
      button("Clear", clearPicks, { class: "link" }),
    );
  });
}

function thumbButton(example, i) {
  const label = `Remove object ${i + 1}`;
  const remove = () => togglePick(example);
  return el(
    "button",
    {
      type: "button",
      class: "pick-button",
      "aria-label": label,
      title: label,
      on: { click: remove },
    },
    exampleThumb(example),
  );
}
