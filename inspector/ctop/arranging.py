"""The part of the application that says what the table shows: filter, order, tree, columns, meanings of figures."""

from __future__ import annotations

from textual.events import Key, Paste

from inspector.ctop import config
from inspector.ctop.menus import ColumnMenu, Menu, SortMenu
from inspector.ctop.replaying import Replaying

__all__ = ["Arranging"]


class Arranging(Replaying):
    """What the keys of the table do. `typing`: a filter is being typed."""

    typing = False

    def action_filter(self) -> None:
        """Ask for words."""
        if self.page == "table":
            self.typing = True
            self.draw()

    def type_filter(self, event: Key) -> None:
        """Take a key into the filter that is being typed."""
        words = self.state.selection.words
        if event.key in ("enter", "escape"):
            self.typing = False
            words = words if event.key == "enter" else ""
        elif event.key in ("backspace", "ctrl+h"):
            words = words[:-1]
        elif event.key in ("ctrl+u", "ctrl+w"):
            words = words.rstrip().rpartition(" ")[0] if event.key == "ctrl+w" else ""
        elif event.is_printable and event.character:
            words += event.character
        self.select(words=words)

    def on_paste(self, event: Paste) -> None:
        """Take a pasted word into the filter."""
        if self.typing:
            self.select(words=self.state.selection.words + " ".join(event.text.split()))

    def action_every(self) -> None:
        """Show all kinds, or containers alone."""
        self.select(every=not self.state.selection.every)

    def action_sort(self, name: str) -> None:
        """Sort by one field."""
        self.select(sort=name, reverse=False)

    def action_sort_menu(self) -> None:
        """Choose what to sort by."""
        self.choose_from(SortMenu(self.state))

    def action_column_menu(self) -> None:
        """Choose the columns."""
        self.choose_from(ColumnMenu(self.state))

    def choose_from(self, menu: Menu) -> None:
        """Show a list to choose from."""
        if self.page == "table":
            self.menu = menu
            self.turn_over("menu")

    def action_beside(self, step: int) -> None:
        """Sort by the next column to one side."""
        if self.page == "table":
            self.state.beside_sort(step)
            self.draw()

    def action_tree(self) -> None:
        """Show a tree, or a list."""
        self.state.turn_tree()
        self.draw()

    def action_fold(self, folded: bool | None = None) -> None:
        """Fold or unfold the chosen row."""
        self.state.fold(folded)
        self.draw()

    def action_fold_all(self) -> None:
        """Fold or unfold everything."""
        self.state.fold_all()
        self.draw()

    def action_memory(self) -> None:
        """Change what memory is."""
        self.state.next_memory()
        self.draw()

    def action_header(self) -> None:
        """Hide or show the header."""
        self.state.has_header = not self.state.has_header
        self.draw()

    def action_save(self) -> None:
        """Save how the table is shown, for the next start."""
        try:
            self.state.say(f"saved in {config.save(self.state.settings())}", "")
        except config.NotSaved as error:
            self.state.say(str(error), "bad")
        self.draw()

    def action_reverse(self) -> None:
        """Turn the order round."""
        self.select(reverse=not self.state.selection.reverse)

    def action_cpu(self) -> None:
        """Change what CPU % is a share of."""
        self.state.next_cpu()
        self.draw()

    def select(self, **changes: object) -> None:
        """Show what is selected and sorted so."""
        self.state.select(**changes)
        self.draw()
