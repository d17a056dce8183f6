// The catalogue: a card for each published checkpoint, and for each data file that models need.
// Cards are JSON files, zoo/cards/*.json and zoo/cards/data/*.json, compiled into the library; $WKV_CARDS may name a
// folder with more of them (*.json, data/*.json), which take precedence. docs/adding.md says what is in a card.
#pragma once
#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "wkv/export.h"
#include "wkv/zoo/hub.h"

namespace wkv::zoo {

// A published result, and what is needed to get it again.
struct Figure {
  std::string metric;  // "top-1", "perplexity", "bits per byte", ...
  std::string data;    // "ImageNet-1k validation", ...
  double value = 0;
  std::string unit;        // "%", ...; may be empty
  std::string conditions;  // image size, crop, context, ...; may be empty
};

struct Card {
  std::string name;                  // "rwkv-4-pile-169m"
  std::vector<std::string> aliases;  // upstream's file name without its suffix, ...
  std::string description;
  std::string family;     // as models::Model::family
  std::string task;       // "text-generation", "image-classification", "image-features", "segmentation", "image-text"
  std::string container;  // "pth", "safetensors"
  std::vector<RemoteFile> files;  // the checkpoint first, then the files that belong to it; or
  std::string embedded;           // the file that the library carries with it
  std::optional<int64_t> parameters;
  std::string config;         // LoadOptions::config: a JSON object, what shapes can't tell
  std::string tokenizer;      // a name that load_tokenizer takes; empty: none
  std::string preprocessing;  // a pipeline of zoo::preprocess; empty: none
  std::vector<std::string>
      classes;          // a classifier's, in its order; empty: published with other files, or there are none
  std::string prompt;   // what a chat prompt looks like, {} for the user's text; empty: none is published
  std::string licence;  // an SPDX identifier; empty: none is stated
  std::vector<Figure> figures;
  std::string verified;  // "full": this very file gave the published figure. "tiny": the family equals the published
                         // code on golden files. "shapes": only names and shapes were checked
  std::string json;      // the whole card
};

// Every card whose name, or an alias, matches the pattern (* and ?, case-insensitive), by name.
WKV_API std::vector<Card> list_models(std::string_view pattern = "*");
// By name or alias, case-insensitive.
WKV_API std::optional<Card> find_card(std::string_view name);

// A data file of others that is called by name: a tokenizer's vocabulary, sets of labels and prompt templates.
struct DataCard {
  std::string name;  // "world", "gpt2", "clip", "zero-shot", ...
  std::string kind;  // "tokenizer", "labels"
  std::string description, licence;
  std::vector<RemoteFile> files;
};
WKV_API std::optional<DataCard> find_data(std::string_view kind, std::string_view name);

// What a user names is the path of a checkpoint, or a name of the catalogue. A path that exists is a path, except that
// "embedded" is always kEmbeddedModel.

// The card of what is a name; none: of a path, and of what is neither. Fetches nothing.
WKV_API std::optional<Card> card_of(const std::string& path_or_name);

struct Located {
  std::string path;                               // of the checkpoint; the name of a model that the library carries
  std::optional<Card> card;                       // of a name
  std::vector<std::filesystem::path> files = {};  // of the card, in its order, on this machine
};
// Fetches what is missing. Throws wkv::Error as fetch does, and not_found for what is neither, with the names that are
// nearest.
WKV_API Located locate(const std::string& path_or_name, const FetchProgress& progress = {});

}  // namespace wkv::zoo
