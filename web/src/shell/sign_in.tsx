import { useState } from "preact/hooks";
import { ApiError, apiKey, get } from "../api/client";
import type { Info } from "../api/types";
import { Field } from "../components/field";
import { Flock } from "../components/flock";
import { Icon } from "../components/icon";

interface SignInProps {
  rejected: boolean; // the server refused the key that was in use
  onSignedIn: (info: Info) => void;
}

export function SignIn({ rejected, onSignedIn }: SignInProps) {
  const [key, setKey] = useState("");
  const [busy, setBusy] = useState(false);
  const [problem, setProblem] = useState(rejected ? "The server no longer takes that key. Enter another one." : "");

  const submit = async (event: Event) => {
    event.preventDefault();
    setBusy(true);
    setProblem("");
    apiKey.set(key.trim());
    try {
      onSignedIn(await get<Info>("v1/info"));
    } catch (error) {
      apiKey.forget();
      setProblem(error instanceof ApiError && error.status === 401
        ? "The server does not know this key. Check that it was copied whole."
        : (error as Error).message);
    } finally {
      setBusy(false);
    }
  };

  return (
    <main class="sign-in">
      <Flock class="sign-in-flock" birds={420} />
      <form class="sign-in-form" onSubmit={submit}>
        <h1>Starling</h1>
        <p>A language model from a platform's own posts, at work in its search and its advertising.</p>
        <Field label="API key" hint={<>Printed once when <code>starling serve</code> first starts. It stays in this tab and is forgotten when the tab closes.</>}
               error={problem}>
          {(control) => (
            <input {...control} type="password" autocomplete="off" spellcheck={false} autofocus required value={key}
                   onInput={(event) => setKey(event.currentTarget.value)} />
          )}
        </Field>
        <button type="submit" class="button primary" disabled={busy || !key.trim()}>
          <Icon name="key" /> {busy ? "Checking…" : "Open the page"}
        </button>
      </form>
    </main>
  );
}
