// What the server counts, as Prometheus reads it from /metrics. Thread-safe. Labels come from fixed sets (routes, model
// names, outcomes), never from what a client sends, so their number is bounded.
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <string>

namespace starling {

// A generation, or an embedding or a score, which only read.
struct GenerationCount {
  int prompt_tokens = 0, completion_tokens = 0;
  double first_token_s = 0;  // from the arrival of the request, so the wait for its turn is in it; 0: it had no text
  double token_s = 0;        // mean of the tokens after the first; 0: there were none
  bool cancelled = false;
};

class Metrics {
 public:
  Metrics();
  ~Metrics();

  void count_request(const std::string& route, const std::string& method, int status, double seconds);
  void count_generation(const std::string& model, const GenerationCount& count);
  void count_ad_decision(bool served);
  void count_ad_event(const std::string& type, bool recorded);
  void count_post(const std::string& change);  // "created", "deleted"

  // A value that is read when the metrics are asked for: name, help, function, and what tells it from others of that
  // name.
  using Labels = std::map<std::string, std::string>;
  void add_gauge(const std::string& name, const std::string& help, std::function<double()> read,
                 const Labels& labels = {});

  std::string text() const;  // the Prometheus text format

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace starling
