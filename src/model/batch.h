// The tokens of one forward pass: B sequences of T places. Several documents may share a sequence; they do not see each
// other. A target below 0 is not scored.
#pragma once

#include <cstdint>
#include <vector>

namespace starling {

struct Batch {
  int64_t sequences = 0, length = 0;     // B, T
  std::vector<int32_t> tokens, targets;  // [B*T]
  std::vector<int32_t> positions;        // [B*T] from 0 in each document
  std::vector<int32_t> document_starts;  // [B*T] place in the sequence of the document's first token

  int64_t size() const { return sequences * length; }
  int64_t scored() const {  // targets that count
    int64_t count = 0;
    for (int32_t target : targets) count += target >= 0;
    return count;
  }
};

}  // namespace starling
