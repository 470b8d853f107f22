import { useEffect, useState } from "preact/hooks";

// The address after "#": #/search?q=rain. A hash needs nothing from the server, so the page works below any path.
export interface Route {
  view: string;
  params: URLSearchParams;
}

export const kFirstView = "search";

export function parseRoute(hash: string): Route {
  const [path = "", query = ""] = hash.replace(/^#\/?/, "").split(/\?(.*)/s);
  return { view: path || kFirstView, params: new URLSearchParams(query) };
}

export function href(view: string, params: Record<string, string | undefined> = {}): string {
  const kept = Object.entries(params).filter((entry): entry is [string, string] => Boolean(entry[1]));
  const query = new URLSearchParams(kept).toString();
  return `#/${view}${query ? `?${query}` : ""}`;
}

export function go(view: string, params: Record<string, string | undefined> = {}) {
  location.hash = href(view, params);
}

export function useRoute(): Route {
  const [route, setRoute] = useState(() => parseRoute(location.hash));
  useEffect(() => {
    const onChange = () => setRoute(parseRoute(location.hash));
    addEventListener("hashchange", onChange);
    return () => removeEventListener("hashchange", onChange);
  }, []);
  return route;
}
