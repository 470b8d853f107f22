// Rows that could not be read, kept in `posts/quarantine.jsonl` so that nothing is lost: one JSON object a line with
// file, line, reason, and the row as `raw`, or `raw_base64` where it is not UTF-8; `cut` says that only the first
// kMaxRawBytes are there. The same row of the same file is kept once, however often it is read.
#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <unordered_set>
#include <vector>

#include "core/file.h"
#include "posts/row_reader.h"

namespace starling {

class Quarantine {
 public:
  static constexpr const char* kFileName = "quarantine.jsonl";
  static constexpr size_t kMaxRawBytes = 64 << 10;

  explicit Quarantine(const std::filesystem::path& posts_folder);
  void add(const std::string& file, const Row& row);
  void sync();

 private:
  std::filesystem::path path_;
  std::unique_ptr<AppendFile> file_;    // made with the first row
  std::unordered_set<uint64_t> known_;  // hashes of the lines that are there
};

// What in a row that cannot be read may be the id of a post or an author: its parts between quotes, brackets, commas,
// semicolons and tabs, those between spaces too, what Bluesky's and Reddit's ids are made of them, and the pseudonym
// (mail.h) of what may be an address.
std::vector<std::string> possible_ids(std::string_view raw, std::string_view author_key);

// Takes the rows with a possible id for which `deleted` holds out of the file, atomically: rather one too many than one
// too few. Returns how many went. The caller holds the store's lock.
uint64_t purge_quarantine(const std::filesystem::path& posts_folder,
                          const std::function<bool(const std::string& id)>& deleted);

}  // namespace starling
