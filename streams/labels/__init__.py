"""The AIGC label in the containers of GB 45438-2025: where it stands, read and written; nothing is decoded."""
