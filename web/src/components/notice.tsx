import type { ComponentChildren } from "preact";
import { ApiError } from "../api/client";
import { Flock } from "./flock";
import { Icon } from "./icon";

export function Loading({ what }: { what: string }) {
  return (
    <p class="loading" role="status">
      <span class="loading-birds" aria-hidden="true"><i /><i /><i /></span> Loading {what}…
    </p>
  );
}

export function ErrorNotice({ error, retry }: { error: Error; retry?: () => void }) {
  const refused = error instanceof ApiError && error.status === 403;
  return (
    <div class="notice error" role="alert">
      <Icon name={refused ? "lock" : "warning"} />
      <div>
        <strong>{refused ? "This key may not do that" : "That did not work"}</strong>
        <p>{error.message}</p>
        {retry && !refused && <button type="button" class="button small" onClick={retry}>Try again</button>}
      </div>
    </div>
  );
}

export function Empty({ title, children }: { title: string; children?: ComponentChildren }) {
  return (
    <div class="empty">
      <Flock class="empty-flock" birds={70} />
      <h2>{title}</h2>
      {children}
    </div>
  );
}

export function Done({ children }: { children: ComponentChildren }) {
  return <div class="notice done" role="status"><Icon name="check" /><div>{children}</div></div>;
}
