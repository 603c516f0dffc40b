# text_ffi: the one Rust static library (accelerate/text/ffi), built by cargo into the cache folder, never into the tree.
# The library and llguidance's own header are then copied into the build folder, so that two build folders, or two
# checkouts sharing the cache, cannot pull each other's file away between compile and link.
# This file is both the CMake part and, run with `cmake -P`, the build step.

if(CMAKE_SCRIPT_MODE_FILE)
  set(ENV{CARGO_TARGET_DIR} "${TARGET_DIR}")
  # Two checkouts share the folder, and to cargo this crate is the same in both: whose files are older gets the other's
  # library. So one at a time, with files that look new.
  file(MAKE_DIRECTORY ${TARGET_DIR})
  file(LOCK ${TARGET_DIR}/.one_checkout_at_a_time)
  file(GLOB crate_files ${CRATE_DIR}/src/*.rs)
  file(TOUCH_NOCREATE ${crate_files})
  execute_process(COMMAND ${CARGO} build --release --locked --quiet
    WORKING_DIRECTORY ${CRATE_DIR} COMMAND_ERROR_IS_FATAL ANY)
  execute_process(COMMAND ${CARGO} metadata --format-version 1 --locked --offline --filter-platform ${PLATFORM}
    WORKING_DIRECTORY ${CRATE_DIR} OUTPUT_VARIABLE metadata COMMAND_ERROR_IS_FATAL ANY)
  # string(JSON) takes seconds to walk 80 packages; the one path wanted is found by its name.
  if(NOT metadata MATCHES "\"manifest_path\":\"([^\"]*/llguidance-[0-9.]+)/Cargo.toml\"")
    message(FATAL_ERROR "[rust.cmake] llguidance must be among the crate's packages; try removing ${TARGET_DIR}")
  endif()
  file(COPY ${TARGET_DIR}/release/libtext_ffi.a ${CMAKE_MATCH_1}/llguidance.h DESTINATION ${OUTPUT_DIR})
  file(TOUCH ${OUTPUT_DIR}/libtext_ffi.a ${OUTPUT_DIR}/llguidance.h)  # COPY keeps old times, which ninja takes as stale
  return()
endif()

find_program(ACC_CARGO cargo HINTS $ENV{HOME}/.cargo/bin)
if(NOT ACC_CARGO)
  message(FATAL_ERROR "[rust.cmake] the text room needs cargo; got none on PATH; try tools/setup")
endif()

set(crate_dir ${CMAKE_SOURCE_DIR}/accelerate/text/ffi)
set(output_dir ${CMAKE_BINARY_DIR}/text_ffi)
file(MAKE_DIRECTORY ${output_dir})
file(GLOB crate_sources CONFIGURE_DEPENDS ${crate_dir}/src/*.rs)
add_custom_command(
  OUTPUT ${output_dir}/libtext_ffi.a ${output_dir}/llguidance.h
  COMMAND ${CMAKE_COMMAND} -DCARGO=${ACC_CARGO} -DCRATE_DIR=${crate_dir} -DTARGET_DIR=${ACC_CACHE_DIR}/cargo
    -DOUTPUT_DIR=${output_dir} -DPLATFORM=${CMAKE_SYSTEM_PROCESSOR}-unknown-linux-gnu -P ${CMAKE_CURRENT_LIST_FILE}
  DEPENDS ${crate_sources} ${crate_dir}/Cargo.toml ${crate_dir}/Cargo.lock ${CMAKE_CURRENT_LIST_FILE}
  COMMENT "cargo: the text library (about 2 minutes the first time)" VERBATIM)
add_custom_target(text_ffi_build DEPENDS ${output_dir}/libtext_ffi.a ${output_dir}/llguidance.h)

add_library(text_ffi STATIC IMPORTED GLOBAL)
set_target_properties(text_ffi PROPERTIES IMPORTED_LOCATION ${output_dir}/libtext_ffi.a
  INTERFACE_INCLUDE_DIRECTORIES "${output_dir}" INTERFACE_LINK_LIBRARIES "Threads::Threads;${CMAKE_DL_LIBS};m")
add_dependencies(text_ffi text_ffi_build)
