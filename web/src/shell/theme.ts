import { useEffect, useState } from "preact/hooks";

export type Theme = "auto" | "light" | "dark";
const kThemeName = "starling.theme";
const kNext: Record<Theme, Theme> = { auto: "light", light: "dark", dark: "auto" };

function stored(): Theme {
  const value = localStorage.getItem(kThemeName);
  return value === "light" || value === "dark" ? value : "auto";
}

// Tokens in styles/tokens.css follow color-scheme; charts listen to "themechange" since a canvas cannot.
function apply(theme: Theme) {
  if (theme === "auto") delete document.documentElement.dataset.theme;
  else document.documentElement.dataset.theme = theme;
  dispatchEvent(new Event("themechange"));
}

export function startTheme() {
  apply(stored());
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => dispatchEvent(new Event("themechange")));
}

export function useTheme() {
  const [theme, setTheme] = useState<Theme>(stored);
  useEffect(() => {
    localStorage.setItem(kThemeName, theme);
    apply(theme);
  }, [theme]);
  return { theme, next: () => setTheme(kNext[theme]) };
}
