// How far something is, on a line of the terminal which the next one overwrites; where stderr is no terminal, nothing.
#pragma once
#include <chrono>
#include <cstdint>
#include <functional>
#include <string>

#include "wkv/zoo/hub.h"

namespace wkv::cli {

class LiveLine {
 public:
  LiveLine();
  ~LiveLine() { clear(); }
  void show(const std::function<std::string()>& text);  // some of them: five a second are enough to read
  void clear();

 private:
  using Clock = std::chrono::steady_clock;
  bool live_, open_ = false;
  Clock::time_point shown_;
};

// Items of which the number is known.
class ProgressLine {
 public:
  ProgressLine(int64_t total, std::string what) : total_(total), what_(std::move(what)) {}
  void advance_to(int64_t done);
  void clear() { line_.clear(); }

 private:
  int64_t total_;
  std::string what_;
  std::chrono::steady_clock::time_point start_ = std::chrono::steady_clock::now();
  LiveLine line_;
};

// Bytes of text read; total: 0 where it is not known.
class ByteProgress {
 public:
  explicit ByteProgress(int64_t total) : total_(total) {}
  void advance_to(int64_t done);
  void clear() { line_.clear(); }

 private:
  int64_t total_;
  std::chrono::steady_clock::time_point start_ = std::chrono::steady_clock::now();
  LiveLine line_;
};

// For zoo::fetch: a bar for each file, until the function goes.
zoo::FetchProgress show_downloads();

}  // namespace wkv::cli
