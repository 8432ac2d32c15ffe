"""The terminal panel. The only package that knows Textual; it draws `AppState` and asks the controller for actions."""
