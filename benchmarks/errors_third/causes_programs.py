CAUSES = []
