// What several JSON schemas say together: references, `allOf`, and whether the branches of a `oneOf` exclude each
// other. A refusal is a ConfigError that says where it stands.
#pragma once

#include <nlohmann/json.hpp>
#include <string>
#include <string_view>
#include <vector>

#include "core/error.h"
#include "infer/grammar.h"

namespace starling {

constexpr int kMaxSchemaNesting = 64;  // of schemas that are read within each other

ConfigError schema_refused(const std::string& where, std::string_view why);
bool is_restricting(std::string_view keyword);               // changes which values are valid
bool has_restriction(const nlohmann::ordered_json& schema);  // one of its keywords does

// Refuses the keywords that a grammar of prefixes cannot keep, or that are not made yet.
void check_keywords(const nlohmann::ordered_json& schema, const std::string& where);

class SchemaCombiner {
 public:
  using Json = nlohmann::ordered_json;
  // References point into `root`. `grammar` limits the time.
  SchemaCombiner(const Json& root, const Grammar& grammar) : root_(root), grammar_(grammar) {}

  const Json& target_of(const Json& reference, const std::string& where) const;
  // The schema with what $ref and allOf say merged into it.
  Json resolved(const Json& schema, const std::string& where);
  Json merged(Json a, const Json& b, const std::string& where);  // the values that satisfy both
  void check_exclusive(const std::vector<Json>& branches, const std::string& where);

 private:
  Json merged_all(const Json& schema, const std::string& where);

  const Json& root_;
  const Grammar& grammar_;
  int merging_ = 0;
  size_t merged_bytes_ = 0;  // of all results together
};

}  // namespace starling
