// Install - the Python environment of a backend, made by the user's own Python and pip: whole or not at all.
//
//   ACC_TRY(InstalledEnvironment made, install_environment(*backend.about().install, {}, progress));   // made.python
//
// A virtual environment with the recipe's pinned packages, in the cache folder. It is made beside its place and renamed
// when pip is done, so a stopped or failed install leaves what was there before; pip's own cache keeps what it fetched.
#pragma once

#include <string>

#include "accelerate/core/backend.h"

namespace accelerate {

struct InstallRequest {
  bool force = false;                     // make it anew even if it is there
  std::string python = "python3";         // that makes the environment
};
struct InstalledEnvironment {
  std::string python;                     // its interpreter
  bool made = false;                      // false: it was there already
  double seconds = 0;
};

/// Whether the recipe's environment is there, made of these very requirements.
bool is_installed(const InstallRecipe& recipe);

/// Errors: not_found (no Python, or none new enough), resource_exhausted (disk, checked before), unavailable (pip's own last
/// words), cancelled. Progress shows what pip is doing.
Result<InstalledEnvironment> install_environment(const InstallRecipe& recipe, const InstallRequest& request, Progress& progress);

}  // namespace accelerate
