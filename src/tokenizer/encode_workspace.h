// The memory of one encode() at a time: a call borrows a workspace, so that threads share a tokenizer but nothing that
// is written, and what one text taught (the cache) serves the next.
#pragma once

#include <algorithm>
#include <array>
#include <memory>
#include <mutex>
#include <span>
#include <string_view>
#include <utility>

#include "tokenizer/merge_table.h"
#include "tokenizer/padded_text.h"
#include "tokenizer/piece_cache.h"

namespace starling {

// Tokens on their way out. Unlike in a vector, room is asked for once a piece and nothing is filled with zeros.
class TokenBuffer {
 public:
  void clear() { size_ = 0; }
  TokenId* room(size_t count) {
    if (size_ + count > capacity_) grow(count);
    return tokens_.get() + size_;
  }
  void took(size_t count) { size_ += count; }
  std::span<const TokenId> tokens() const { return {tokens_.get(), size_}; }

 private:
  void grow(size_t count) {
    capacity_ = 2 * capacity_ + count + 1024;
    auto larger = std::make_unique_for_overwrite<TokenId[]>(capacity_);
    std::copy_n(tokens_.get(), size_, larger.get());
    tokens_ = std::move(larger);
  }
  std::unique_ptr<TokenId[]> tokens_;
  size_t size_ = 0, capacity_ = 0;
};

struct EncodeWorkspace {
  PaddedBuffer text;
  TokenBuffer out;
  ShortPieces short_pieces;
  LongPieces long_pieces;  // or of more tokens
  MergeScratch merges;
  std::unique_ptr<EncodeWorkspace> next;  // in the pool

  // Appends the tokens of each piece to `out`: from the tables, or by merge(piece, symbols), which writes at most one
  // symbol a byte and returns how many. each_piece(visit) calls visit(piece) for pieces that lie in a padded text.
  // A piece is looked up a few pieces later than it is found: by then its place has come from memory.
  template <typename EachPiece, typename MergePiece>
  void append_pieces(const EachPiece& each_piece, const MergePiece& merge) {
    std::array<Waiting, kWaiting> waiting;
    size_t found = 0, appended = 0;
    each_piece([&](std::string_view piece) {
      if (found - appended == kWaiting) append(waiting[appended++ % kWaiting], merge);
      Waiting& place = waiting[found++ % kWaiting];
      place.piece = piece;
      if (piece.size() > ShortPieces::kLongestPiece) return;
      place.key = ShortPieces::Key(piece.data(), piece.size());
      short_pieces.fetch(place.key);
    });
    while (appended < found) append(waiting[appended++ % kWaiting], merge);
  }

 private:
  static constexpr size_t kWaiting = 16;
  struct Waiting {
    std::string_view piece;
    ShortPieces::Key key;  // when it is short
  };

  template <typename MergePiece>
  void append(const Waiting& waiting, const MergePiece& merge) {
    const auto& [piece, key] = waiting;
    TokenId* room = out.room(std::max(piece.size(), LongPieces::kMostTokens));
    const bool is_short = piece.size() <= ShortPieces::kLongestPiece;
    size_t count = is_short ? short_pieces.find(key, room) : 0;
    if (count == 0) count = append_rare(piece, is_short ? &key : nullptr, room, merge);
    out.took(count);
  }

  template <typename MergePiece>
  [[gnu::noinline]] size_t append_rare(std::string_view piece, const ShortPieces::Key* short_key, TokenId* room,
                                       const MergePiece& merge) {
    if (piece.size() > LongPieces::kLongestPiece) return merge(piece, room);
    const LongPieces::Key key(piece.data(), piece.size());
    size_t count = long_pieces.find(key, room);
    if (count > 0) return count;
    count = merge(piece, room);
    if (short_key != nullptr && count <= ShortPieces::kMostTokens) short_pieces.insert(*short_key, room, count);
    else if (count <= LongPieces::kMostTokens) long_pieces.insert(key, room, count);
    return count;
  }
};

class WorkspacePool {
 public:
  class Loan {
   public:
    Loan(WorkspacePool& pool, std::unique_ptr<EncodeWorkspace> workspace)
        : pool_(pool), workspace_(std::move(workspace)) {}
    Loan(const Loan&) = delete;
    ~Loan() { pool_.give_back(std::move(workspace_)); }
    EncodeWorkspace& operator*() const { return *workspace_; }

   private:
    WorkspacePool& pool_;
    std::unique_ptr<EncodeWorkspace> workspace_;
  };

  Loan borrow() {
    {
      const std::lock_guard lock(mutex_);
      if (idle_) {
        auto workspace = std::move(idle_);
        idle_ = std::move(workspace->next);
        return {*this, std::move(workspace)};
      }
    }
    return {*this, std::make_unique<EncodeWorkspace>()};
  }

 private:
  void give_back(std::unique_ptr<EncodeWorkspace> workspace) {
    const std::lock_guard lock(mutex_);
    workspace->next = std::move(idle_);
    idle_ = std::move(workspace);
  }
  std::mutex mutex_;
  std::unique_ptr<EncodeWorkspace> idle_;  // a list of as many as there were threads at once
};

}  // namespace starling
