#include "io/json_events.h"

#include <fmt/format.h>

#include <nlohmann/json.hpp>
#include <unordered_set>
#include <vector>

#include "io/printable.h"
#include "wkv/error.h"

namespace wkv::zoo {
namespace {

// The parser copies each token several times, so a token is bounded before it sees the text.
bool has_long_json_token(std::string_view text) {
  constexpr size_t kLongest = 65536;
  size_t length = 0;
  bool quoted = false;
  for (size_t i = 0; i < text.size(); ++i) {
    const char c = text[i];
    if (quoted && c == '\\') {
      ++i;
      length += 2;
    } else if (c == '"') {
      quoted = !quoted;
      length = 0;
    } else if (!quoted && std::string_view("{}[]:,").find(c) != std::string_view::npos) {
      length = 0;
    } else {
      ++length;
    }
    if (length > kLongest) return true;
  }
  return false;
}

class JsonWalker : public nlohmann::json_sax<nlohmann::json> {
 public:
  JsonWalker(const std::string& where, size_t max_depth, const std::function<void(JsonPath, const JsonEvent&)>& visit)
      : where_(where), max_depth_(max_depth), visit_(visit) {}

  bool null() override { return leaf({JsonEvent::Kind::null}); }
  bool boolean(bool value) override { return leaf({JsonEvent::Kind::boolean, {}, value}); }
  bool number_float(double, const std::string&) override { return leaf({JsonEvent::Kind::other}); }
  bool binary(nlohmann::json::binary_t&) override { return leaf({JsonEvent::Kind::other}); }
  bool number_integer(int64_t value) override { return leaf({JsonEvent::Kind::integer, {}, value}); }
  bool number_unsigned(uint64_t value) override {
    if (value > INT64_MAX) return leaf({JsonEvent::Kind::other});
    return leaf({JsonEvent::Kind::integer, {}, static_cast<int64_t>(value)});
  }
  bool string(std::string& value) override { return leaf({JsonEvent::Kind::text, value}); }

  bool start_object(size_t) override { return begin(JsonEvent::Kind::begin_object); }
  bool start_array(size_t) override { return begin(JsonEvent::Kind::begin_array); }
  bool end_object() override { return end(); }
  bool end_array() override { return end(); }

  bool key(std::string& name) override {
    if (keys_seen_.back().size() == kMaxMembers)
      fail(fmt::format("holds an object of more than {} members", kMaxMembers));
    if (!keys_seen_.back().insert(name).second) fail(fmt::format("the key \"{}\" stands there twice", printable(name)));
    path_.back() = std::move(name);
    return true;
  }

  bool parse_error(size_t position, const std::string&, const nlohmann::json::exception&) override {
    fail(fmt::format("is not valid JSON (at byte {})", position));
  }

 private:
  static constexpr size_t kMaxMembers = 131072;

  // path_ has one key for each open container: that of the member under way.
  bool leaf(const JsonEvent& event) {
    visit_(path_, event);
    return true;
  }
  bool begin(JsonEvent::Kind kind) {
    if (path_.size() >= max_depth_) fail(fmt::format("is nested deeper than {} levels", max_depth_));
    visit_(path_, {kind});
    path_.emplace_back();
    keys_seen_.emplace_back();
    return true;
  }
  bool end() {
    path_.pop_back();
    keys_seen_.pop_back();
    return leaf({JsonEvent::Kind::end});
  }
  [[noreturn]] void fail(const std::string& what) const { throw Error(ErrorCode::corrupt_file, where_ + ": " + what); }

  const std::string& where_;
  size_t max_depth_;
  const std::function<void(JsonPath, const JsonEvent&)>& visit_;
  std::vector<std::string> path_;
  std::vector<std::unordered_set<std::string>> keys_seen_;
};

}  // namespace

void walk_json(std::string_view text, const std::string& where, size_t max_depth,
               const std::function<void(JsonPath, const JsonEvent&)>& visit) {
  if (has_long_json_token(text)) throw Error(ErrorCode::corrupt_file, where + ": holds a word of more than 64 KiB");
  JsonWalker walker(where, max_depth, visit);
  nlohmann::json::sax_parse(text, &walker);
}

}  // namespace wkv::zoo
