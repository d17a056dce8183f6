// What the server counts, as Prometheus reads it.
#pragma once
#include <cstdint>
#include <map>
#include <mutex>
#include <string>
#include <utility>

#include "wkv/export.h"

namespace wkv::serve {

enum class Metric {
  requests,              // by endpoint and status
  request_seconds,       // from the request to the end of its answer
  connections,           // open
  refused_connections,   // too many
  texts,                 // ended, by reason
  active_texts,          // that decode
  waiting_texts,         // in the queue, or reading their prompts
  prompt_tokens,         //
  cached_prompt_tokens,  // those of them that the state cache had read
  generated_tokens,      //
  first_text_seconds,    // from the request to a text's first words
  generation_seconds,    // from the request to a text's end
  state_cache_hits,      // texts whose beginning was known
  state_cache_bytes,     //
  state_cache_entries,   //
};

// For any thread.
class WKV_API Metrics {
 public:
  // labels: as in `status="200"`.
  void add(Metric metric, double amount = 1, const std::string& labels = {});
  void set(Metric metric, double value);
  // One more of those whose number and sum are told.
  void observe(Metric metric, double seconds);

  double value(Metric metric, const std::string& labels = {}) const;  // of those observed: the sum
  std::string prometheus() const;

 private:
  struct Series {
    double value = 0;
    int64_t count = 0;
  };
  mutable std::mutex mutex_;
  std::map<std::pair<Metric, std::string>, Series> series_;
};

}  // namespace wkv::serve
