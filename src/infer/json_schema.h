// JSON Schema (draft 2020-12, and draft 7's `definitions` and `items` lists) as a grammar of the texts that satisfy it.
// Every text of the grammar is valid; not every valid text is in it: properties come in the schema's order, no white
// space but one space after `:` and `,`, numbers without exponents.
//
// Taken: type, enum, const, properties, required, additionalProperties, patternProperties (one), propertyNames, items,
// prefixItems, minItems, maxItems, minProperties and maxProperties where they hold by themselves, minLength, maxLength,
// pattern (grammar_regex.h), format (of texts: date, time, date-time, duration, uuid, email, ipv4, ipv6, hostname, uri;
// another is refused by name), minimum, maximum, exclusiveMinimum, exclusiveMaximum, multipleOf (whole, up to 100, or a
// power of ten below 1), $ref within the document, $defs, allOf, anyOf, oneOf when its branches exclude each other
// evidently. An object without additionalProperties has only the properties it declares; one that declares none may
// have any. Any other keyword that restricts is refused with a ConfigError that says where it stands; unknown ones are
// ignored.
#pragma once

#include <memory>
#include <nlohmann/json_fwd.hpp>

#include "infer/grammar.h"

namespace starling {

// Appends the schema's texts to `from` and returns the node at their end.
Grammar::Node append_json_schema(Grammar& grammar, Grammar::Node from, const nlohmann::ordered_json& schema);

std::shared_ptr<const Grammar> json_schema_grammar(const nlohmann::ordered_json& schema,
                                                   const GrammarLimits& limits = {});
std::shared_ptr<const Grammar> json_object_grammar();  // any object

}  // namespace starling
