#include "server/metrics.h"

#include <prometheus/counter.h>
#include <prometheus/gauge.h>
#include <prometheus/histogram.h>
#include <prometheus/registry.h>
#include <prometheus/text_serializer.h>

#include <mutex>
#include <sstream>
#include <vector>

namespace starling {
namespace {

// Seconds. From a health check to an answer written by a large model on a small machine.
const prometheus::Histogram::BucketBoundaries kSeconds = {0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25,
                                                          0.5,   1,      2.5,   5,    10,    30,   60};

const prometheus::Histogram::BucketBoundaries kTokenSeconds = {0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01,
                                                               0.025,  0.05,    0.1,    0.25,  0.5,    1};

}  // namespace

struct Metrics::State {
  prometheus::Registry registry;
  prometheus::Family<prometheus::Counter>& requests = prometheus::BuildCounter()
                                                          .Name("starling_http_requests_total")
                                                          .Help("Requests by route, method and status")
                                                          .Register(registry);
  prometheus::Family<prometheus::Histogram>& latency = prometheus::BuildHistogram()
                                                           .Name("starling_http_request_seconds")
                                                           .Help("From the head read to the response written")
                                                           .Register(registry);
  prometheus::Family<prometheus::Histogram>& first_token =
      prometheus::BuildHistogram()
          .Name("starling_time_to_first_token_seconds")
          .Help("From the arrival of the request, its wait for a turn included, to the first generated text")
          .Register(registry);
  prometheus::Family<prometheus::Histogram>& token_time =
      prometheus::BuildHistogram()
          .Name("starling_time_per_output_token_seconds")
          .Help("Mean time of a generation's tokens after its first")
          .Register(registry);
  prometheus::Family<prometheus::Counter>& cancellations =
      prometheus::BuildCounter()
          .Name("starling_generations_cancelled_total")
          .Help("Generations, embeddings and scores whose client left")
          .Register(registry);
  prometheus::Family<prometheus::Counter>& tokens =
      prometheus::BuildCounter().Name("starling_tokens_total").Help("Tokens by model and kind").Register(registry);
  prometheus::Family<prometheus::Counter>& decisions = prometheus::BuildCounter()
                                                           .Name("starling_ad_decisions_total")
                                                           .Help("Advertising decisions by outcome")
                                                           .Register(registry);
  prometheus::Family<prometheus::Counter>& events = prometheus::BuildCounter()
                                                        .Name("starling_ad_events_total")
                                                        .Help("Advertising events by type and outcome")
                                                        .Register(registry);
  prometheus::Family<prometheus::Counter>& posts = prometheus::BuildCounter()
                                                       .Name("starling_posts_total")
                                                       .Help("Posts created and deleted through the API")
                                                       .Register(registry);

  struct ReadGauge {
    prometheus::Gauge& gauge;
    std::function<double()> read;
  };
  std::mutex mutex;
  std::vector<ReadGauge> gauges;
};

Metrics::Metrics() : state_(std::make_unique<State>()) {}
Metrics::~Metrics() = default;

void Metrics::count_request(const std::string& route, const std::string& method, int status, double seconds) {
  state_->requests.Add({{"route", route}, {"method", method}, {"status", std::to_string(status)}}).Increment();
  state_->latency.Add({{"route", route}}, kSeconds).Observe(seconds);
}

void Metrics::count_generation(const std::string& model, const GenerationCount& count) {
  state_->tokens.Add({{"model", model}, {"kind", "prompt"}}).Increment(count.prompt_tokens);
  state_->tokens.Add({{"model", model}, {"kind", "completion"}}).Increment(count.completion_tokens);
  if (count.first_token_s > 0) state_->first_token.Add({{"model", model}}, kSeconds).Observe(count.first_token_s);
  if (count.token_s > 0) state_->token_time.Add({{"model", model}}, kTokenSeconds).Observe(count.token_s);
  if (count.cancelled) state_->cancellations.Add({{"model", model}}).Increment();
}

void Metrics::count_ad_decision(bool served) {
  state_->decisions.Add({{"outcome", served ? "served" : "no_ad"}}).Increment();
}

void Metrics::count_ad_event(const std::string& type, bool recorded) {
  state_->events.Add({{"type", type}, {"outcome", recorded ? "recorded" : "known"}}).Increment();
}

void Metrics::count_post(const std::string& change) { state_->posts.Add({{"change", change}}).Increment(); }

void Metrics::add_gauge(const std::string& name, const std::string& help, std::function<double()> read,
                        const Labels& labels) {
  std::lock_guard lock(state_->mutex);
  state_->gauges.push_back(
      {prometheus::BuildGauge().Name(name).Help(help).Register(state_->registry).Add(labels), std::move(read)});
}

std::string Metrics::text() const {
  {
    std::lock_guard lock(state_->mutex);
    for (const State::ReadGauge& gauge : state_->gauges) gauge.gauge.Set(gauge.read());
  }
  std::ostringstream out;
  prometheus::TextSerializer().Serialize(out, state_->registry.Collect());
  return out.str();
}

}  // namespace starling
