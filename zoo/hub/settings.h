// What the environment says about the hub and its cache, in the words of the hub's own programs.
#pragma once
#include <chrono>
#include <filesystem>
#include <string>

namespace wkv::zoo {

struct HubSettings {
  std::string endpoint;             // $HF_ENDPOINT, else https://huggingface.co; no slash at its end
  std::string token;                // $HF_TOKEN, else the file $HF_TOKEN_PATH, else $HF_HOME/token; empty: none
  bool offline = false;             // $HF_HUB_OFFLINE or $WKV_OFFLINE
  std::filesystem::path hub_cache;  // $HF_HUB_CACHE, else $HF_HOME/hub; $HF_HOME is $XDG_CACHE_HOME/huggingface
  std::filesystem::path url_cache;  // $XDG_CACHE_HOME/wkv, for files that aren't of the hub; else ~/.cache/wkv
  std::string certificates;         // $SSL_CERT_FILE: the authorities to trust; empty: the system's
  // $HF_HUB_DOWNLOAD_TIMEOUT: how long a connection may take to come, or next to nothing may arrive over it.
  std::chrono::seconds timeout{30};
  std::chrono::duration<double> retry_delay{1};  // $WKV_RETRY_DELAY: before the second try; doubles with each further
};

// Read anew each time: programs change their environment. Throws wkv::Error, which names the variable.
HubSettings hub_settings();

}  // namespace wkv::zoo
