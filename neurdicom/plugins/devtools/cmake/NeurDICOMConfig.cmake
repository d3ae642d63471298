# CMake package of NeurDICOM's native plugins. `neurdicom plugin cmake-dir` prints this folder:
#
#   cmake -B build -DNeurDICOM_DIR="$(neurdicom plugin cmake-dir)"
#
#   find_package(NeurDICOM REQUIRED)
#   neurdicom_add_plugin(plugin plugin.cpp)
#
# NeurDICOM::headers   neurdicom_plugin.h (C) and neurdicom_plugin.hpp (C++17)
#
# neurdicom_add_plugin(<target> <source>... [META <file>] [FILES <file>...] [LIBRARIES <library>...])
#   The shared library <target>.so, with the exported functions visible and all else hidden, and by default <target>.zip
#   beside it: the archive that an upload takes, of META (META.json beside CMakeLists.txt), the library and FILES.
#   LIBRARIES are linked. Where `neurdicom` is found there are two targets more: <target>_check and <target>_sanitize,
#   which builds the plugin with AddressSanitizer and UBSan and runs it on the sample images; for the first plugin they
#   are called `check` and `sanitize`, too.
include_guard(GLOBAL)

get_filename_component(NeurDICOM_INCLUDE_DIR "${CMAKE_CURRENT_LIST_DIR}/../include" REALPATH)
if(NOT EXISTS "${NeurDICOM_INCLUDE_DIR}/neurdicom_plugin.h")
  set(NeurDICOM_FOUND FALSE)
  set(NeurDICOM_NOT_FOUND_MESSAGE "neurdicom_plugin.h is not in ${NeurDICOM_INCLUDE_DIR}")
  return()
endif()

if(NOT TARGET NeurDICOM::headers)
  add_library(NeurDICOM::headers INTERFACE IMPORTED GLOBAL)
  set_target_properties(NeurDICOM::headers PROPERTIES INTERFACE_INCLUDE_DIRECTORIES "${NeurDICOM_INCLUDE_DIR}")
endif()

find_program(NEURDICOM_EXECUTABLE neurdicom)

function(_neurdicom_library target libraries)
  add_library(${target} MODULE ${ARGN})
  target_link_libraries(${target} PRIVATE NeurDICOM::headers ${libraries})
  set_target_properties(${target} PROPERTIES
    PREFIX "" SUFFIX ".so" POSITION_INDEPENDENT_CODE ON C_VISIBILITY_PRESET hidden CXX_VISIBILITY_PRESET hidden
    VISIBILITY_INLINES_HIDDEN ON)
  if(NOT CMAKE_CXX_STANDARD)
    set_target_properties(${target} PROPERTIES CXX_STANDARD 17 CXX_STANDARD_REQUIRED ON)
  endif()
endfunction()

function(neurdicom_add_plugin target)
  cmake_parse_arguments(PLUGIN "" "META" "FILES;LIBRARIES" ${ARGN})
  if(NOT PLUGIN_UNPARSED_ARGUMENTS)
    message(FATAL_ERROR "neurdicom_add_plugin(${target}): no source file is given")
  endif()
  if(NOT PLUGIN_META)
    set(PLUGIN_META META.json)
  endif()
  get_filename_component(meta "${PLUGIN_META}" ABSOLUTE)
  if(NOT EXISTS "${meta}")
    message(FATAL_ERROR "neurdicom_add_plugin(${target}): there is no ${meta}")
  endif()

  _neurdicom_library(${target} "${PLUGIN_LIBRARIES}" ${PLUGIN_UNPARSED_ARGUMENTS})

  # The archive: a folder of what is in it, packed.
  set(stage "${CMAKE_CURRENT_BINARY_DIR}/${target}.package")
  set(archive "${CMAKE_CURRENT_BINARY_DIR}/${target}.zip")
  set(files "")
  foreach(file IN LISTS PLUGIN_FILES)
    get_filename_component(file "${file}" ABSOLUTE)
    list(APPEND files "${file}")
  endforeach()
  set(copy "")
  if(files)
    set(copy COMMAND ${CMAKE_COMMAND} -E copy ${files} "${stage}")
  endif()
  add_custom_command(
    OUTPUT "${archive}"
    COMMAND ${CMAKE_COMMAND} -E rm -rf "${stage}"
    COMMAND ${CMAKE_COMMAND} -E make_directory "${stage}"
    COMMAND ${CMAKE_COMMAND} -E copy "${meta}" "${stage}/META.json"
    COMMAND ${CMAKE_COMMAND} -E copy "$<TARGET_FILE:${target}>" "${stage}"
    ${copy}
    COMMAND ${CMAKE_COMMAND} -E chdir "${stage}" ${CMAKE_COMMAND} -E tar cf "${archive}" --format=zip .
    DEPENDS ${target} "${meta}" ${files}
    COMMENT "Packing ${target}.zip"
    VERBATIM)
  add_custom_target(${target}_package ALL DEPENDS "${archive}")

  # The same under the sanitizers, built when it is asked for.
  set(flags -Og -g -fno-omit-frame-pointer -fsanitize=address,undefined -fsanitize=float-cast-overflow)
  if(CMAKE_CXX_COMPILER_ID MATCHES Clang OR CMAKE_C_COMPILER_ID MATCHES Clang)
    list(APPEND flags -shared-libasan)
  endif()
  _neurdicom_library(${target}_sanitized "${PLUGIN_LIBRARIES}" ${PLUGIN_UNPARSED_ARGUMENTS})
  target_compile_options(${target}_sanitized PRIVATE ${flags})
  target_link_options(${target}_sanitized PRIVATE ${flags})
  set_target_properties(${target}_sanitized PROPERTIES
    EXCLUDE_FROM_ALL ON OUTPUT_NAME ${target} LIBRARY_OUTPUT_DIRECTORY "${CMAKE_CURRENT_BINARY_DIR}/sanitize")

  if(NEURDICOM_EXECUTABLE)
    add_custom_target(${target}_check
      COMMAND ${NEURDICOM_EXECUTABLE} plugin check "${archive}" DEPENDS ${target}_package USES_TERMINAL VERBATIM)
    add_custom_target(${target}_sanitize
      COMMAND ${NEURDICOM_EXECUTABLE} plugin check --sanitize --library "$<TARGET_FILE:${target}_sanitized>" "${archive}"
      DEPENDS ${target}_package ${target}_sanitized USES_TERMINAL VERBATIM)
    foreach(short check sanitize)
      if(NOT TARGET ${short})
        add_custom_target(${short} DEPENDS ${target}_${short})
      endif()
    endforeach()
  endif()
endfunction()
