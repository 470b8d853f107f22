// CSV as RFC 4180 writes it: a header, fields in quotes may hold separators, line ends and doubled quotes. The
// separator (comma, semicolon or tab) is the one the header has most of. Memory is bounded by the longest record
// allowed.
#pragma once

#include <deque>
#include <string>
#include <string_view>
#include <vector>

#include "posts/byte_stream.h"

namespace starling {

class CsvReader {
 public:
  struct Record {
    std::vector<std::string> fields;
    uint64_t line = 0;  // where it starts, from 1
    std::string raw;    // as read, at most max_bytes
    bool too_long = false;
    std::string problem;  // empty when the record is good; the reader then goes on with the next line
  };

  CsvReader(ByteStream& stream, size_t max_bytes);  // reads the header; throws DataError when there is none
  const std::vector<std::string>& header() const { return header_; }
  bool next(Record& record);  // empty lines are skipped

 private:
  struct Line {
    std::string text;
    uint64_t number;
    bool too_long;
  };
  bool next_line(Line& line);
  bool parse(std::string_view text, std::vector<std::string>& fields) const;
  LineReader lines_;
  size_t max_bytes_;
  char separator_ = ',';
  std::vector<std::string> header_;
  std::deque<Line> unread_;  // lines of a record whose quote never closed, to be read again
};

}  // namespace starling
