// What a record of a source is.
#pragma once

#include <string>

namespace starling {

struct RecordKind {
  enum Kind { kPost, kOther, kDeletion } kind = kPost;  // kOther: a like, a boost, a message to a few, a removed text
  std::string deleted_kind, deleted_id;                 // "post" or "author", for kDeletion
};

}  // namespace starling
