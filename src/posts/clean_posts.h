// The first half of prepare: which posts are kept, and their cleaned texts, in the order of time.
#pragma once

#include <cstdint>
#include <filesystem>
#include <span>
#include <string>
#include <string_view>

#include "core/file.h"
#include "posts/prepare.h"
#include "posts/scratch_rows.h"

namespace starling {

// One kept post. Its id, author and text lie in the text file, one after the other.
struct CleanedPost {
  int64_t time_s = 0;
  uint64_t offset = 0;
  uint32_t id_bytes = 0, author_bytes = 0, text_bytes = 0;
};

struct CleanedPosts {
  MappedFile file;
  ScratchRows<CleanedPost> rows;
  std::span<const CleanedPost> posts;  // the rows, by time, then id

  std::string_view id(size_t i) const { return file.text().substr(posts[i].offset, posts[i].id_bytes); }
  std::string_view author(size_t i) const {
    return file.text().substr(posts[i].offset + posts[i].id_bytes, posts[i].author_bytes);
  }
  std::string_view text(size_t i) const {
    return file.text().substr(posts[i].offset + posts[i].id_bytes + posts[i].author_bytes, posts[i].text_bytes);
  }
};

// Writes the cleaned texts to `text_file` and counts in `report` what was read and dropped. With `parts`, takes what
// that many clean_part() left instead of reading the posts.
CleanedPosts clean_posts(const Workspace& workspace, const Config& config, const ControlDb& control,
                         const std::filesystem::path& text_file, uint32_t parts, const PrepareProgress& progress,
                         PrepareReport& report);

// What looks at one post alone, for the posts of a part's segments. Writes the part's files.
void clean_part(const Workspace& workspace, const Config& config, const ControlDb& control, const Part& part,
                const PrepareProgress& progress, PrepareReport& report);

// Writes zeros over the texts of deleted posts in a part's files, which stay whole for the merge; removes those that
// are not. Nobody may be at work on the part.
void purge_part(const Workspace& workspace, const DeletedIds& deleted, const Part& part);

}  // namespace starling
