"""Files of the home: read with a limit, written atomically, refused with `file:line` and a hint."""

from standpipe.files.disk import (
    STRAY_SUFFIX as STRAY_SUFFIX,
    fsync_folder as fsync_folder,
    read_text as read_text,
    write_atomic as write_atomic,
)
from standpipe.files.front_matter import (
    FRONT_MATTER_BYTES as FRONT_MATTER_BYTES,
    FrontMatter as FrontMatter,
    dump_front_matter as dump_front_matter,
    load_front_matter as load_front_matter,
)
from standpipe.files.schema import (
    Problem as Problem,
    convert as convert,
    line_of as line_of,
    nearest as nearest,
    refuse as refuse,
)
from standpipe.files.toml import load_toml_with_lines as load_toml_with_lines
from standpipe.files.yaml import (
    Lines as Lines,
    Located as Located,
    is_list as is_list,
    is_table as is_table,
    load_yaml as load_yaml,
    load_yaml_with_lines as load_yaml_with_lines,
)
