/* Runs before the page is drawn, so that it does not flash in the colours that were not chosen. */
{
  const dark = matchMedia("(prefers-color-scheme: dark)").matches;
  let theme = dark ? "dark" : "light";
  try {
    theme = localStorage.getItem("segsearch-theme") ?? theme;
  } catch {
    /* storage may be forbidden: the system's colours then */
  }
  document.documentElement.dataset.theme = theme;
}
