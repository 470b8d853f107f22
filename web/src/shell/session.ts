import { createContext } from "preact";
import { useContext } from "preact/hooks";
import type { Info } from "../api/types";

export type Role = "admin" | "read" | "search" | "ads";

export interface Session {
  info: Info;
  changeKey: () => void;
  reloadInfo: () => void;
}

export const SessionContext = createContext<Session | null>(null);

export function useSession(): Session {
  const session = useContext(SessionContext);
  if (!session) throw new Error("useSession is used outside the signed-in page");
  return session;
}

// What the page offers to a role. The server decides; an unknown role is offered everything and told no by the server.
const kMay: Record<string, string[]> = {
  read: [],
  search: ["posts"],
  ads: ["ads"],
};

export function may(info: Info, what: "posts" | "ads" | "audit"): boolean {
  const allowed = kMay[info.role ?? "admin"];
  return allowed === undefined || allowed.includes(what);
}
