#include "text/bpe_vocabulary.h"

#include <fmt/format.h>

#include <unordered_map>
#include <unordered_set>

#include "io/printable.h"
#include "text/byte_alphabet.h"
#include "text/nfc.h"
#include "wkv/error.h"

namespace wkv::zoo {
namespace {

// An added token is a mark or a run of spaces; the bound keeps what looks for them small.
constexpr std::size_t kMaxAddedTokenBytes = 256;

bool occurs_in_utf8(std::size_t byte) { return byte < 0xC0 || (byte > 0xC1 && byte < 0xF5); }

class BpeFileCheck {
 public:
  BpeFileCheck(const BpeFile& file, const std::string& source) : file_(file), source_(source) {}

  BpeVocabulary run() {
    for (const auto& [token, id] : file_.tokens) {
      if (!ids_.emplace(token, id).second) reject("the token {} comes twice", shown(token));
    }
    const std::unordered_map<std::string_view, int64_t> without_added = ids_;
    for (const AddedToken& added : file_.added) {
      if (added.text.size() > kMaxAddedTokenBytes) {
        reject("the added token {} has more than {} bytes", shown(added.text), kMaxAddedTokenBytes);
      }
      const auto [known, is_new] = ids_.emplace(added.text, added.id);
      if (known->second != added.id) {
        reject("the token {} has two ids, {} and {}", shown(added.text), known->second, added.id);
      }
      if (file_.nfc && added.normalized && nfc(added.text) != added.text) {
        reject("the added token {} is not in the normal form that texts have", shown(added.text));
      }
      if (!added_texts_.insert(added.text).second) reject("the added token {} comes twice", shown(added.text));
    }
    place_tokens();
    find_single_bytes(without_added);
    find_merges(without_added);
    result_.added = file_.added;
    result_.nfc = file_.nfc;
    return std::move(result_);
  }

 private:
  template <typename... values_t>
  [[noreturn]] void reject(fmt::format_string<const values_t&...> problem, const values_t&... values) const {
    throw Error(ErrorCode::corrupt_file, fmt::format("{}: {}", source_, fmt::format(problem, values...)));
  }
  static std::string shown(std::string_view token) { return fmt::format("\"{}\"", printable(token)); }

  // As many ids as tokens, each below their number and none twice: no gaps.
  void place_tokens() {
    result_.tokens.resize(ids_.size());
    const auto last = static_cast<int64_t>(ids_.size()) - 1;
    for (const auto& [token, id] : ids_) {
      if (token.empty()) reject("the token {} is empty", id);
      if (id < 0 || id > last) {
        reject("the token {} has the id {}; {} tokens have the ids 0..{}", shown(token), id, ids_.size(), last);
      }
      auto bytes = added_texts_.contains(token) ? std::string(token) : bytes_of_alphabet(token);
      if (!bytes) reject("the token {} has a character that stands for no byte", shown(token));
      std::string& place = result_.tokens[static_cast<std::size_t>(id)];
      if (!place.empty()) reject("the id {} comes twice", id);
      place = std::move(*bytes);
    }
  }

  void find_single_bytes(const std::unordered_map<std::string_view, int64_t>& ids) {
    result_.single_bytes.fill(-1);
    for (const auto& [token, id] : ids) {
      const std::string& bytes = result_.tokens[static_cast<std::size_t>(id)];
      if (bytes.size() == 1) result_.single_bytes[static_cast<unsigned char>(bytes[0])] = static_cast<std::int32_t>(id);
    }
    for (std::size_t byte = 0; byte < 256; ++byte) {
      if (occurs_in_utf8(byte) && result_.single_bytes[byte] < 0) reject("no token for the byte 0x{:02X}", byte);
    }
  }

  void find_merges(const std::unordered_map<std::string_view, int64_t>& ids) {
    std::unordered_set<std::string_view> seen;
    for (const std::string& merge : file_.merges) {
      const std::size_t space = merge.find(' ');
      if (space == std::string::npos) reject("the merge {} is not two tokens and a space", shown(merge));
      const std::string left = merge.substr(0, space), right = merge.substr(space + 1);
      const auto id_of = [&](const std::string& token) {
        const auto found = ids.find(token);
        if (found == ids.end()) reject("the merge {} has {}, which is no token", shown(merge), shown(token));
        return static_cast<std::int32_t>(found->second);
      };
      result_.merges.push_back({id_of(left), id_of(right), id_of(left + right)});
      if (!seen.insert(merge).second) reject("the merge {} comes twice", shown(merge));
    }
  }

  const BpeFile& file_;
  const std::string& source_;
  std::unordered_map<std::string_view, int64_t> ids_;  // of all tokens, by the text that the file has
  std::unordered_set<std::string_view> added_texts_;
  BpeVocabulary result_;
};

}  // namespace

BpeVocabulary check_bpe_file(const BpeFile& file, const std::string& source) {
  return BpeFileCheck(file, source).run();
}

}  // namespace wkv::zoo
