// Says something to people who use a screen reader, through the live region that app.tsx holds.
export const kLiveRegionId = "announcements";

export function announce(text: string) {
  const region = document.getElementById(kLiveRegionId);
  if (!region) return;
  region.textContent = "";
  // A change in a later frame is read out even when the text is the same as before.
  requestAnimationFrame(() => { region.textContent = text; });
}
