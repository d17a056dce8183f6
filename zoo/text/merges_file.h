// GPT-2's pair of files: merges, a line `left right` each, and the vocabulary, a JSON object of ids by token.
#pragma once
#include <string>
#include <string_view>

#include "text/bpe_vocabulary.h"
#include "wkv/export.h"

namespace wkv::zoo {

struct NamedFile {
  std::string content;
  std::string name;  // for messages
};

// Throws wkv::Error, with the file's name, for anything else.
WKV_API BpeVocabulary parse_merges_file(const NamedFile& merges, const NamedFile& vocabulary);

}  // namespace wkv::zoo
