import type { ComponentType } from "preact";
import type { IconName } from "../components/icon";
import { AdStudio } from "../views/ads/ad_studio";
import { AuditView } from "../views/audit/audit_view";
import { ChatView } from "../views/chat/chat_view";
import { PlanView } from "../views/plan/plan_view";
import { SearchView } from "../views/search/search_view";
import { TrainingView } from "../views/training/training_view";
import type { Route } from "./route";

export interface View {
  id: string;
  name: string;
  short: string; // on a phone's tab bar
  icon: IconName;
  component: ComponentType<{ route: Route }>;
}

export const kViews: View[] = [
  { id: "search", name: "Search and Ask", short: "Search", icon: "search", component: SearchView },
  { id: "chat", name: "Chat", short: "Chat", icon: "reply", component: ChatView },
  { id: "ads", name: "Ad studio", short: "Ads", icon: "megaphone", component: AdStudio },
  { id: "training", name: "Training", short: "Training", icon: "curve", component: TrainingView },
  { id: "plan", name: "Cluster plan", short: "Plan", icon: "cluster", component: PlanView },
  { id: "audit", name: "Audit and ad library", short: "Audit", icon: "chain", component: AuditView },
];
