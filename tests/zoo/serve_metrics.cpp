#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "serve/metrics.h"

namespace wkv::serve {
namespace {

using testing::HasSubstr;
using testing::Not;

TEST(ServeMetrics, counters_grow_by_label) {
  Metrics metrics;
  metrics.add(Metric::requests, 1, "status=\"200\"");
  metrics.add(Metric::requests, 2, "status=\"200\"");
  metrics.add(Metric::requests, 1, "status=\"400\"");
  const std::string text = metrics.prometheus();
  EXPECT_THAT(text, HasSubstr("# TYPE wkv_requests_total counter\n"));
  EXPECT_THAT(text, HasSubstr("wkv_requests_total{status=\"200\"} 3\n"));
  EXPECT_THAT(text, HasSubstr("wkv_requests_total{status=\"400\"} 1\n"));
}

TEST(ServeMetrics, what_is_observed_has_a_sum_and_a_count) {
  Metrics metrics;
  metrics.observe(Metric::request_seconds, 0.5);
  metrics.observe(Metric::request_seconds, 1);
  EXPECT_THAT(metrics.prometheus(), HasSubstr("wkv_request_seconds_sum 1.5\nwkv_request_seconds_count 2\n"));
}

TEST(ServeMetrics, everything_without_a_label_is_there_from_the_beginning) {
  const std::string text = Metrics().prometheus();
  for (const char* name : {"wkv_active_texts 0", "wkv_waiting_texts 0", "wkv_generated_tokens_total 0",
                           "wkv_first_text_seconds_count 0", "wkv_state_cache_hits_total 0"}) {
    EXPECT_THAT(text, HasSubstr(std::string(name) + "\n"));
  }
  EXPECT_THAT(text, Not(HasSubstr("\nwkv_requests_total ")));
}

}  // namespace
}  // namespace wkv::serve
