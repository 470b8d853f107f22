import { Flock } from "../components/flock";
import { Icon } from "../components/icon";
import { compact } from "../text/format";
import { href } from "./route";
import { useSession } from "./session";
import { type Theme, useTheme } from "./theme";
import { kViews } from "./views";

const kThemeNames: Record<Theme, string> = { auto: "Theme: as the system", light: "Theme: light", dark: "Theme: dark" };

function WorkspaceFacts() {
  const { info } = useSession();
  const name = info.workspace.split("/").filter(Boolean).pop() ?? info.workspace;
  return (
    <dl class="workspace">
      <div><dt>Workspace</dt><dd title={info.workspace}>{name}</dd></div>
      <div><dt>Posts</dt><dd>{compact(info.posts)}{info.indexed_posts < info.posts && <small> {compact(info.indexed_posts)} indexed</small>}</dd></div>
      <div><dt>Writer</dt><dd>{info.writer || "none"}</dd></div>
    </dl>
  );
}

export function Nav({ current }: { current: string }) {
  const { info, changeKey } = useSession();
  const { theme, next } = useTheme();
  return (
    <header class="rail">
      <a class="brand" href={href("search")}>
        <Flock class="brand-flock" birds={64} />
        <span>Starling</span>
      </a>
      <nav aria-label="Views">
        <ul>
          {kViews.map((view) => (
            <li key={view.id}>
              <a href={href(view.id)} aria-current={view.id === current ? "page" : undefined}>
                <Icon name={view.icon} />
                <span class="nav-name">{view.name}</span>
                <span class="nav-short" aria-hidden="true">{view.short}</span>
              </a>
            </li>
          ))}
        </ul>
      </nav>
      <WorkspaceFacts />
      <div class="rail-tools">
        <button type="button" class="rail-button" onClick={next} aria-label={`${kThemeNames[theme]}. Change`} title={kThemeNames[theme]}>
          <Icon name={theme === "dark" ? "moon" : theme === "light" ? "sun" : "halfmoon"} />
        </button>
        <button type="button" class="rail-button" onClick={changeKey}>
          <Icon name="key" /> <span>{info.role ? `${info.role} key` : "Change key"}</span>
        </button>
      </div>
    </header>
  );
}
