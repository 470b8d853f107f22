import { useEffect, useState } from "preact/hooks";
import { post } from "../../api/client";
import type { Plan, PlanQuestion } from "../../api/plan";
import { useRequest } from "../../api/use_request";
import { ErrorNotice, Loading } from "../../components/notice";
import { PlanForm } from "./plan_form";
import { PlanResult } from "./plan_result";

// The story's cluster.
const kDefault: PlanQuestion = { model: "70b", gpus: 10_000, gpu: "a100-80g", tokens: "2T" };

function catalogue(plan: Plan | undefined): { name: string; title: string }[] {
  const known = plan?.affordability.map((row) => ({ name: row.gpu, title: row.title })) ?? [];
  const asked = plan ? [plan.gpu] : [{ name: kDefault.gpu, title: kDefault.gpu }];
  return [...known, ...asked.filter((gpu) => !known.some((other) => other.name === gpu.name))];
}

export function PlanView() {
  const { data: plan, error, loading, run } = useRequest<Plan>();
  const [question, setQuestion] = useState(kDefault);
  useEffect(() => void run((signal) => post("v1/plan", question, signal)), [question]);

  return (
    <section class="view" aria-busy={loading}>
      <header class="view-head"><h1 tabIndex={-1}>Cluster plan</h1></header>
      <p class="lead">What it takes to train a model: from the FLOP and byte counts that the model's own code declares.</p>
      <PlanForm question={question} gpus={catalogue(plan)} busy={loading} onAsk={setQuestion} />
      {error && <ErrorNotice error={error} />}
      {!plan && !error && <Loading what="the plan" />}
      {plan && <PlanResult plan={plan} />}
    </section>
  );
}
