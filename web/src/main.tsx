import { render } from "preact";
import { App } from "./app";
import { startTheme } from "./shell/theme";
import "./styles/tokens.css";
import "./styles/base.css";
import "./styles/controls.css";
import "./styles/shell.css";
import "./styles/search.css";
import "./styles/chat.css";
import "./styles/ads.css";
import "./styles/figures.css";

startTheme();
render(<App />, document.getElementById("page")!);
