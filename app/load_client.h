// A load generator for one OpenAI-compatible server on this machine: text completions, streamed, as many at a time as
// their arrivals ask for. One thread moves all bytes, so that the client takes little from the server it measures.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

namespace starling {

struct LoadRequest {
  double arrival_s = 0;  // after the start; of no meaning with clients
  std::string body;      // JSON of /v1/completions with stream and stream_options.include_usage
};

// Times in seconds. A token's time is when its text arrives.
struct LoadResult {
  bool done = false;  // the whole stream arrived
  std::string error;  // of a request that failed: its status line or what broke it
  int prompt_tokens = 0, completion_tokens = 0;
  double end_s = 0;                // after the start
  double first_token_s = 0;        // after the arrival, or after a client sent it
  std::vector<double> token_gaps;  // between one piece of text and the next
  std::string text;

  // Mean time of a token after the first; 0 for fewer than two.
  double time_per_token_s() const;
};

struct LoadTarget {
  int port = 0;  // of 127.0.0.1
  std::string key;
  int clients = 0;  // each sends the next request when its last one has ended; 0: open loop, requests have arrivals
};

// Sends each request in its time and returns when the last has ended. A request that fails is a result, not an
// exception. Throws IoError when sockets cannot be made or nothing is received for `silence_s`, Error when a
// stop is requested.
std::vector<LoadResult> run_load(const LoadTarget& target, const std::vector<LoadRequest>& requests,
                                 double silence_s = 60);

// What a load showed. Rates are a second of the time until the last whole answer; a token's time is a request's mean.
struct LoadSummary {
  size_t requests = 0, failed = 0;
  double seconds = 0, requests_per_s = 0, tokens_per_s = 0;
  double ttft_p50_ms = 0, ttft_p99_ms = 0;  // time to first token
  double tpot_p50_ms = 0, tpot_p99_ms = 0;  // time per output token after the first
  double itl_p50_ms = 0, itl_p99_ms = 0;    // between one piece of text and the next
  double goodput_rps = 0;                   // requests that kept both objectives
};

struct LoadObjectives {
  double ttft_ms = 200, tpot_ms = 50;
};

LoadSummary summarize(const std::vector<LoadResult>& results, const LoadObjectives& objectives);

// Arrivals of a Poisson process: the gaps are exponential with mean 1 / per_s. The seed decides them.
std::vector<double> poisson_arrivals(size_t count, double per_s, uint64_t seed);

// The value that a share `p` (0 to 1) of `values` does not exceed, by nearest rank; 0 of none.
double percentile(std::vector<double> values, double p);

}  // namespace starling
