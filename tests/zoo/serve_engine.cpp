#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <condition_variable>
#include <map>
#include <mutex>

#include "generate_parrot.h"
#include "serve/engine.h"
#include "serve/metrics.h"
#include "wkv/error.h"

namespace wkv::serve {
namespace {

using testing::ElementsAre;

Job job_of(const std::string& prompt, int64_t tokens) { return {{prompt.begin(), prompt.end()}, greedy(tokens)}; }

// What a request's texts have become.
class Audience {
 public:
  Engine::Listener listener() {
    return [this](const Progress& progress) {
      const std::lock_guard lock(mutex_);
      texts_[progress.text] += progress.piece;
      if (!progress.finish_reason.empty()) reasons_[progress.text] = progress.finish_reason;
      last_ = progress;
      changed_.notify_all();
    };
  }
  std::map<std::size_t, std::string> texts_after(std::size_t ends) {
    wait([&] { return reasons_.size() == ends; });
    return texts_;
  }
  void wait_for_text() {
    wait([&] { return !texts_.empty(); });
  }
  std::string reason(std::size_t text = 0) { return reasons_.at(text); }
  Progress last() { return last_; }

 private:
  template <typename Condition>
  void wait(Condition&& condition) {
    std::unique_lock lock(mutex_);
    changed_.wait(lock, condition);
  }
  std::mutex mutex_;
  std::condition_variable changed_;
  std::map<std::size_t, std::string> texts_, reasons_;
  Progress last_;
};

constexpr int64_t kEndless = int64_t{1} << 40;

class ServeEngine : public testing::Test {
 protected:
  std::shared_ptr<const zoo::Tokenizer> bytes_ = zoo::load_tokenizer("bytes");
  Parrot parrot_ = Parrot("abcdefgha");
  Metrics metrics_;
};

TEST_F(ServeEngine, every_text_of_a_request_gets_its_own_answer) {
  Engine engine(parrot_, *bytes_, {.slots = 2}, metrics_);
  Audience audience;
  engine.submit({job_of("a", 3), job_of("xc", 2), job_of("g", 1)}, audience.listener());
  EXPECT_THAT(audience.texts_after(3), ElementsAre(std::pair(0, "bcd"), std::pair(1, "de"), std::pair(2, "h")));
  EXPECT_EQ(audience.reason(), "length");
  EXPECT_EQ(metrics_.value(Metric::generated_tokens), 6);
  EXPECT_EQ(metrics_.value(Metric::prompt_tokens), 4);
}

TEST_F(ServeEngine, what_exceeds_slots_and_queue_is_not_taken) {
  Audience audience;  // outlives the engine, which tells it of the endless text until its own end
  Engine engine(parrot_, *bytes_, {.slots = 1, .queue = 1}, metrics_);
  EXPECT_FALSE(engine.submit({job_of("a", 1), job_of("a", 1), job_of("a", 1)}, audience.listener()));
  const auto first = engine.submit({job_of("a", kEndless)}, audience.listener());
  EXPECT_TRUE(engine.submit({job_of("a", kEndless)}, audience.listener()));
  EXPECT_FALSE(engine.submit({job_of("a", 1)}, audience.listener()));
  engine.cancel(*first);
  audience.texts_after(1);
  EXPECT_TRUE(engine.submit({job_of("a", 1)}, audience.listener()));
}

TEST_F(ServeEngine, a_cancelled_request_leaves_its_slot_to_the_next) {
  Engine engine(parrot_, *bytes_, {.slots = 1}, metrics_);
  Audience endless, next;
  const auto number = engine.submit({job_of("a", kEndless)}, endless.listener());
  engine.submit({job_of("c", 2)}, next.listener());
  endless.wait_for_text();
  engine.cancel(*number);
  EXPECT_THAT(next.texts_after(1), ElementsAre(std::pair(0, "de")));
  endless.texts_after(1);
  EXPECT_EQ(endless.reason(), "cancelled");
  EXPECT_EQ(metrics_.value(Metric::texts, "reason=\"cancelled\""), 1);
}

TEST_F(ServeEngine, a_bad_job_harms_no_other) {
  Engine engine(parrot_, *bytes_, {}, metrics_);
  Audience bad, good;
  engine.submit({job_of("a", -1)}, bad.listener());
  engine.submit({job_of("a", 2)}, good.listener());
  EXPECT_THAT(good.texts_after(1), ElementsAre(std::pair(0, "bc")));
  bad.texts_after(1);
  EXPECT_EQ(bad.reason(), "error");
  EXPECT_THAT(bad.last().error, testing::HasSubstr("max_tokens"));
}

TEST_F(ServeEngine, the_state_cache_is_told_in_counts) {
  Engine engine(parrot_, *bytes_, {}, metrics_);
  const std::string prompt = std::string(50, 'x') + "a";
  for (const int64_t cached : {0, 51}) {
    Audience audience;
    engine.submit({job_of(prompt, 2)}, audience.listener());
    EXPECT_THAT(audience.texts_after(1), ElementsAre(std::pair(0, "bc")));
    EXPECT_EQ(audience.last().cached_tokens, cached);
  }
  EXPECT_EQ(metrics_.value(Metric::state_cache_hits), 1);
}

// A model without the memory for one of its steps.
class ExhaustedParrot : public Parrot {
 public:
  using Parrot::Parrot;
  at::Tensor logits(const at::Tensor& hidden) override {
    if (hidden.eq('!').any().item<bool>()) throw std::bad_alloc();
    return Parrot::logits(hidden);
  }
};

TEST_F(ServeEngine, a_step_that_fails_ends_what_runs_and_nothing_else) {
  ExhaustedParrot model("abcdefgh!");
  Engine engine(model, *bytes_, {}, metrics_);
  Audience unlucky, later;
  engine.submit({job_of("g", 9)}, unlucky.listener());
  unlucky.texts_after(1);
  EXPECT_EQ(unlucky.reason(), "error");
  engine.submit({job_of("a", 2)}, later.listener());
  EXPECT_THAT(later.texts_after(1), ElementsAre(std::pair(0, "bc")));
}

class GrowingParrot : public Parrot {
 public:
  using Parrot::Parrot;

 protected:
  std::vector<StateEntry> state_entries() const override { return {{"past_x", {0, 1}, at::kFloat}}; }
};

TEST_F(ServeEngine, a_state_that_grows_is_refused) {
  GrowingParrot model("ab");
  EXPECT_THROW(Engine(model, *bytes_, {}, metrics_), Error);
}

TEST_F(ServeEngine, ends_while_texts_run) {
  Audience audience;
  {
    Engine engine(parrot_, *bytes_, {.slots = 1}, metrics_);
    engine.submit({job_of("a", kEndless), job_of("a", kEndless)}, audience.listener());
    audience.wait_for_text();
  }
  EXPECT_EQ(metrics_.value(Metric::texts, "reason=\"length\""), 0);
}

}  // namespace
}  // namespace wkv::serve
