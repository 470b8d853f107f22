import { useCallback, useEffect, useMemo, useRef, useState } from "preact/hooks";
import { apiKey, get } from "./api/client";
import type { Info } from "./api/types";
import { useLoad } from "./api/use_request";
import { ErrorNotice, Loading } from "./components/notice";
import { kLiveRegionId } from "./shell/announce";
import { Nav } from "./shell/nav";
import { type Route, useRoute } from "./shell/route";
import { SessionContext, useSession } from "./shell/session";
import { SignIn } from "./shell/sign_in";
import { kViews } from "./shell/views";
import { plural } from "./text/format";

function Problems() {
  const problems = useSession().info.problems ?? [];
  if (problems.length === 0) return null;
  return (
    <details class="problems">
      <summary>{plural(problems.length, "part")} of this workspace not ready</summary>
      <ul>{problems.map((problem) => <li key={problem}>{problem}</li>)}</ul>
    </details>
  );
}

function NotFound() {
  return <section class="view"><h1 tabIndex={-1}>No such view</h1><p>Choose one of the views beside this.</p></section>;
}

// Shows the view of the address; a change of view moves the keyboard to the new view's heading.
function Page({ route }: { route: Route }) {
  const view = kViews.find((candidate) => candidate.id === route.view);
  const main = useRef<HTMLElement>(null);
  const shown = useRef(route.view);
  useEffect(() => {
    document.title = `${view?.name ?? "No such view"} · Starling`;
    if (shown.current === route.view) return;
    shown.current = route.view;
    main.current?.querySelector<HTMLElement>("h1")?.focus();
  }, [route.view, view]);
  const Content = view?.component ?? NotFound;
  return (
    <>
      <a class="skip-link" href="#content" onClick={(event) => { event.preventDefault(); main.current?.focus(); }}>
        Skip to the content
      </a>
      <Nav current={route.view} />
      <main id="content" ref={main} tabIndex={-1}><Problems /><Content route={route} key={route.view} /></main>
      <div id={kLiveRegionId} class="visually-hidden" role="status" aria-live="polite" />
    </>
  );
}

const loadInfo = (path: string, signal: AbortSignal) => get<Info>(path, signal);

function SignedIn({ first, changeKey }: { first?: Info; changeKey: () => void }) {
  const route = useRoute();
  const { data, error, reload } = useLoad("v1/info", loadInfo);
  const info = data ?? first;
  const session = useMemo(() => info && { info, changeKey, reloadInfo: () => void reload() }, [info, changeKey, reload]);
  if (!session) {
    return (
      <main class="view">
        {error ? <ErrorNotice error={error} retry={() => void reload()} /> : <Loading what="the workspace" />}
        {error && <button type="button" class="button" onClick={changeKey}>Enter another key</button>}
      </main>
    );
  }
  return <SessionContext.Provider value={session}><Page route={route} /></SessionContext.Provider>;
}

export function App() {
  const [signedIn, setSignedIn] = useState(() => apiKey.get() !== "");
  const [rejected, setRejected] = useState(false);
  const [first, setFirst] = useState<Info>();

  const leave = useCallback((wasRejected: boolean) => {
    apiKey.forget();
    setFirst(undefined);
    setRejected(wasRejected);
    setSignedIn(false);
  }, []);
  const changeKey = useCallback(() => leave(false), [leave]);
  useEffect(() => apiKey.onRejected(() => leave(true)), [leave]);

  if (signedIn) return <SignedIn first={first} changeKey={changeKey} />;
  return <SignIn rejected={rejected} onSignedIn={(info) => { setFirst(info); setSignedIn(true); }} />;
}
